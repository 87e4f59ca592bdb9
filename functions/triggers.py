"""Which handler an event belongs to, by its shape."""

from __future__ import annotations

import json
from typing import Any, Literal

from layers.errors import InputError

Trigger = Literal["https", "queue", "bucket"]

TEST_EVENT = "s3:TestEvent"

HANDLERS: dict[Trigger, str] = {
    "https": "functions.https.handler",
    "queue": "functions.queue.handler",
    "bucket": "functions.bucket.handler",
}


def trigger_of(event: Any) -> Trigger:
    """Function URL, API Gateway and ALB events carry `requestContext`, SQS and S3 ones `Records`.

    Queue records that hold S3 events, or S3's test event, belong to the bucket function. Raises InputError for
    anything else.
    """
    if isinstance(event, dict):
        if "requestContext" in event:
            return "https"
        if is_test_event(event):
            return "bucket"
        records = event.get("Records")
        first = records[0] if isinstance(records, list) and records else None
        source = first.get("eventSource") if isinstance(first, dict) else None
        if source == "aws:sqs":
            return "bucket" if _is_about_objects(first) else "queue"
        if source == "aws:s3":
            return "bucket"
    raise InputError(
        "event is none that a handler here takes: expected a Function URL, API Gateway, ALB, SQS or S3 event."
    )


def is_test_event(event: dict[str, Any]) -> bool:
    """True for what S3 sends once when a notification is configured."""
    return event.get("Event") == TEST_EVENT


def _is_about_objects(record: Any) -> bool:
    try:
        body = json.loads(record["body"])
    except (KeyError, TypeError, ValueError):
        return False
    if not isinstance(body, dict):
        return False
    records = body.get("Records")
    held = records[0] if isinstance(records, list) and records else None
    return is_test_event(body) or (isinstance(held, dict) and held.get("eventSource") == "aws:s3")
