"""Bucket trigger: each line of an object is one request; its results are one object of JSON lines.

An object is answered in one invocation, or not at all: it is tried again and ends in the dead-letter queue.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import unquote_plus

from functions.forward.endpoint import Endpoint, endpoint
from functions.forward.queue import AT_ONCE, ask
from functions.forward.results import Results, fields_of, is_settled

logger = logging.getLogger()
MOST_BYTES = 64 * 1024 * 1024


class BusyError(Exception):
    """The endpoint did not answer a row that it may answer later."""


def handler(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    """Answer one SQS event whose records hold S3 events."""
    import boto3

    s3 = boto3.client("s3")
    bucket, prefix = os.environ["HUNDREDFOLD_RESULTS_BUCKET"], os.environ["HUNDREDFOLD_RESULTS_PREFIX"]
    return forward(event, endpoint(), Results(s3, bucket, prefix), os.environ["FORWARD_MODEL"])


def forward(event: dict[str, Any], target: Endpoint, results: Results, model: str) -> dict[str, Any]:
    """The message ids of what failed; objects are read with the client of `results`."""
    failed = []
    for record in event["Records"]:
        try:
            for notice in json.loads(record["body"]).get("Records", []):
                _answer_object(notice["s3"], target, results, model)
        except Exception:  # one message's failure is no other's
            logger.exception("message %s failed", record["messageId"])
            failed.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failed}


def _answer_object(notice: dict[str, Any], target: Endpoint, results: Results, model: str) -> None:
    bucket, key = notice["bucket"]["name"], unquote_plus(notice["object"]["key"])
    answer = results.s3.get_object(Bucket=bucket, Key=key)
    if answer["ContentLength"] > MOST_BYTES:
        raise ValueError(f"{key}: got {answer['ContentLength']} bytes, expected at most {MOST_BYTES}; send it in parts")
    rows = list(_rows(key, answer["Body"].read().decode("utf-8-sig")))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        lines = list(pool.map(lambda row: _line(row[0], row[1], target, model), rows))
    results.publish(f"{key}.jsonl", b"".join(lines))


def _rows(key: str, text: str) -> Iterator[tuple[int, str]]:
    """Numbered lines as records of a queue. Raises ValueError for another format."""
    if not key.endswith((".jsonl", ".txt")):
        raise ValueError(f"{key}: an endpoint's bucket takes .jsonl and .txt")
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            is_text = key.endswith(".txt") or line.lstrip().startswith('"')
            content = line.rstrip("\r") if key.endswith(".txt") else line
            record = {"inputs": content if key.endswith(".txt") else json.loads(line)} if is_text else None
            yield number, content if record is None else json.dumps(record)


def _line(number: int, row: str, target: Endpoint, model: str) -> bytes:
    identity, answer = ask(row, f"line-{number}", target, model)
    if not is_settled(answer):
        raise BusyError(f"line {number}: status {answer.status}")
    named = {} if identity == f"line-{number}" else {"id": identity}
    return json.dumps({"line": number, **named, **fields_of(answer)}).encode() + b"\n"
