"""Which handler an event belongs to, by its shape."""

from __future__ import annotations

import json
from typing import Any, Literal

from functions.bucket.envelopes import NOT_ABOUT_OBJECTS, is_about_objects
from layers.errors import InputError

Trigger = Literal["https", "queue", "bucket"]

HANDLERS: dict[Trigger, str] = {
    "https": "functions.https.handler",
    "queue": "functions.queue.handler",
    "bucket": "functions.bucket.handler",
}


def trigger_of(event: Any) -> Trigger:
    """Function URL, API Gateway and ALB events carry `requestContext`, SQS ones `Records`.

    S3's events belong to the bucket function: its own, SNS's and EventBridge's, and queue records that hold them.
    Raises InputError for anything else.
    """
    if isinstance(event, dict):
        if "requestContext" in event:
            return "https"
        if is_about_objects(event):
            return "bucket"
        records = event.get("Records")
        first = records[0] if isinstance(records, list) and records else None
        if isinstance(first, dict) and first.get("eventSource") == "aws:sqs":
            return "bucket" if _holds_objects(first) else "queue"
    raise InputError(
        "event is none that a handler here takes: expected a Function URL, API Gateway, ALB, SQS or S3 event "
        "(of S3 also by SNS or EventBridge)."
    )


def _holds_objects(record: Any) -> bool:
    try:
        return is_about_objects(json.loads(record["body"]))
    except NOT_ABOUT_OBJECTS:
        return False
