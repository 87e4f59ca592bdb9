"""What an event says about objects: S3's event in whatever carries it, or several in the records of a queue."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

from functions.bucket.envelopes import NOT_ABOUT_OBJECTS, object_records
from functions.redelivery import Receipt, receipt_of


@dataclass(frozen=True, slots=True)
class Notice:
    """One object that was written. `record` is S3's, by which the rest of the object can be handed on.

    `etag` and `sequencer` are empty where the event has none.
    """

    bucket: str
    key: str
    etag: str
    sequencer: str
    record: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Delivery:
    """The notices of one queue record, or of one event that came by no queue and has no message."""

    notices: tuple[Notice, ...]
    message_id: str | None = None
    queue_arn: str | None = None
    receipt: Receipt | None = None


def read_deliveries(event: Any) -> list[Delivery]:
    """What an event delivers. A queue record that holds no S3 event is a delivery that raises when it is read.

    Raises NOT_ABOUT_OBJECTS for what is neither about objects nor an SQS event.
    """
    records = event.get("Records")
    if records and records[0].get("eventSource") == "aws:sqs":
        return [
            Delivery(
                _read_message(record["body"]), record["messageId"], record.get("eventSourceARN"), receipt_of(record)
            )
            for record in records
        ]
    return [Delivery(_read_notices(event))]


def _read_message(body: str) -> tuple[Notice, ...]:
    try:
        return _read_notices(json.loads(body))
    except NOT_ABOUT_OBJECTS:
        return (UNREADABLE,)


def _read_notices(event: Any) -> tuple[Notice, ...]:
    """Objects that were created; what else happens to objects is nothing to act on. Newer event versions add keys."""
    records = object_records(event)
    return tuple(_read_notice(record) for record in records if record["eventName"].startswith("ObjectCreated:"))


def _read_notice(record: dict[str, Any]) -> Notice:
    described = record["s3"]["object"]
    return Notice(
        bucket=record["s3"]["bucket"]["name"],
        key=unquote_plus(described["key"]),
        etag=described.get("eTag", ""),
        sequencer=described.get("sequencer", ""),
        record=record,
    )


# A message that is about no object: it can never succeed, and ends in the dead-letter queue.
UNREADABLE = Notice("", "", "", "", {})


def is_older(sequencer: str, other: str) -> bool:
    """True when an event happened before another one of the same key, as S3 says to compare them.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
    """
    length = max(len(sequencer), len(other))
    return sequencer.ljust(length, "0") < other.ljust(length, "0")
