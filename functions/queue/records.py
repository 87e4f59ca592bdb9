"""SQS records: what each asks, in what order it must be done, and what it is known by."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any

from functions.asking import Answering, Asked
from functions.redelivery import Receipt, receipt_of
from functions.requests import read_request
from layers.errors import InputError
from layers.serving.task_body import parse_object
from layers.wording import shown

# Part of a result's key, so no folders and nothing that a shell or a URL would mind.
ID = re.compile(r"[A-Za-z0-9._:@=+-]{1,128}")


@dataclass(frozen=True, slots=True)
class QueueRecord:
    """A message as delivered. `lane` is what it keeps its order with: its group in a FIFO queue, else itself."""

    message_id: str
    lane: str
    body: str
    receipt: Receipt


@dataclass(frozen=True, slots=True)
class Job:
    """What a record asks. `work` names the work itself: the result's key and the body that it comes from."""

    id: str
    asked: Asked
    work: str


def read_records(event: Any) -> list[QueueRecord]:
    """The records of an SQS event, in order."""
    return [_read_record(record) for record in event["Records"]]


def _read_record(record: dict[str, Any]) -> QueueRecord:
    message_id = record["messageId"]
    lane = message_id
    # Fair standard queues have groups too; only FIFO ones keep an order.
    if record.get("eventSourceARN", "").endswith(".fifo"):
        lane = record.get("attributes", {}).get("MessageGroupId", "")
    return QueueRecord(message_id, lane, record["body"], receipt_of(record))


def read_job(record: QueueRecord, models: Answering, max_body_bytes: int) -> Job:
    """The record's body: the HTTPS function's, with `id`, `model` and `task` beside it where they are stated.

    Raises InputError as the HTTPS function refuses a body.
    """
    body = record.body.encode("utf-8", "surrogatepass")
    if len(body) > max_body_bytes:
        raise InputError(
            f"body is too large: got {len(body)} bytes, expected at most {max_body_bytes}.",
            status=413,
            error_type="too_large",
        )
    content = parse_object(body)
    name = read_id(content.pop("id", None), record.message_id)
    model, request = read_request(content)
    asked = Asked(models.name_of(model), request, name)
    return Job(name, asked, f"{asked.model}/{name}/{hashlib.sha256(body).hexdigest()}")


def read_id(value: Any, otherwise: str) -> str:
    """The id that a record states. Raises InputError for one that cannot be part of a key."""
    if value is None:
        return otherwise
    name = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(name, str) or not ID.fullmatch(name):
        raise InputError(
            f"id: got {shown(value)}, expected 1 to 128 of letters, digits and . _ : @ = + - or a whole number."
        )
    return name


def id_of(record: QueueRecord) -> str:
    """What a record that was refused is known by: its id where that can be read, else its message's."""
    try:
        return read_id(parse_object(record.body.encode("utf-8", "surrogatepass")).get("id"), record.message_id)
    except InputError:
        return record.message_id
