"""S3's records within what carries them: S3's own event, SNS's notification of it, or EventBridge's of an object.

Each may carry another: EventBridge's event comes by a topic as well, and all of them come by queues.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote_plus

TEST_EVENT = "s3:TestEvent"
# What json and mistaken shapes raise.
NOT_ABOUT_OBJECTS = (ValueError, KeyError, TypeError, AttributeError, RecursionError)


def is_test_event(event: dict[str, Any]) -> bool:
    """True for what S3 sends once when a notification is configured."""
    return event.get("Event") == TEST_EVENT


def object_records(event: Any) -> list[dict[str, Any]]:
    """What happened to objects, as S3's own event says it. Raises NOT_ABOUT_OBJECTS for any other event."""
    if is_test_event(event):
        return []
    if event.get("source") == "aws.s3":
        return [_record(event["detail"])] if event["detail-type"] == "Object Created" else []
    if event.get("Type") == "Notification":
        return object_records(json.loads(event["Message"]))
    records: list[dict[str, Any]] = []
    for record in event["Records"]:
        records += object_records(record["Sns"]) if record.get("EventSource") == "aws:sns" else [record]
    return records


def is_about_objects(event: Any) -> bool:
    """Whether an event is of S3, itself or in what carries it."""
    try:
        if not event.get("Records", True):
            return False
        return all(record["eventSource"] == "aws:s3" for record in object_records(event))
    except NOT_ABOUT_OBJECTS:
        return False


def _record(detail: dict[str, Any]) -> dict[str, Any]:
    """EventBridge's detail as S3's record. There the key stands as it is, here it is encoded.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
    """
    described = detail["object"]
    return {
        "eventSource": "aws:s3",
        "eventName": f"ObjectCreated:{detail.get('reason', '')}",
        "s3": {
            "bucket": {"name": detail["bucket"]["name"]},
            "object": {
                "key": quote_plus(described["key"]),
                "eTag": described.get("etag", ""),
                "sequencer": described.get("sequencer", ""),
            },
        },
    }
