"""Which handler an event belongs to, by its shape."""

from __future__ import annotations

from typing import Any, Literal

from layers.errors import InputError

Trigger = Literal["https", "queue", "bucket"]

HANDLERS: dict[Trigger, str] = {
    "https": "functions.https.handler",
    "queue": "functions.queue.handler",
    "bucket": "functions.bucket.handler",
}


def trigger_of(event: Any) -> Trigger:
    """Function URL, API Gateway and ALB events carry `requestContext`, SQS and S3 ones `Records`.

    Raises InputError for anything else.
    """
    if isinstance(event, dict):
        if "requestContext" in event:
            return "https"
        records = event.get("Records")
        source = records[0].get("eventSource") if isinstance(records, list) and records else None
        if source == "aws:sqs":
            return "queue"
        if source == "aws:s3":
            return "bucket"
    raise InputError(
        "event is none that a handler here takes: expected a Function URL, API Gateway, ALB, SQS or S3 event."
    )
