"""Queue trigger: each record is one request; what failed goes back to the queue, and only that."""

from __future__ import annotations

import json
import logging
import os
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from functions.forward.endpoint import Answer, Endpoint, Question, endpoint, failure
from functions.forward.results import Results, fields_of, is_settled

logger = logging.getLogger()
ID = re.compile(r"[A-Za-z0-9._:@=+-]{1,64}")
AT_ONCE = 10


def handler(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    """Answer one SQS event with its `batchItemFailures`."""
    import boto3

    bucket, prefix = os.environ["HUNDREDFOLD_RESULTS_BUCKET"], os.environ["HUNDREDFOLD_RESULTS_PREFIX"]
    return forward(event, endpoint(), Results(boto3.client("s3"), bucket, prefix), os.environ["FORWARD_MODEL"])


def forward(event: dict[str, Any], target: Endpoint, results: Results, model: str) -> dict[str, Any]:
    """Every record's result is published, or its message id is among the failures."""

    def settled(record: dict[str, Any]) -> bool:
        try:
            return _settle(record, target, results, model)
        except Exception:  # one record's failure is no other's
            logger.exception("record %s failed", record["messageId"])
            return False

    records = event["Records"]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        done = list(pool.map(settled, records))
    failed = [record["messageId"] for record, is_done in zip(records, done, strict=True) if not is_done]
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


def _settle(record: dict[str, Any], target: Endpoint, results: Results, model: str) -> bool:
    """A refused record is published too, and handed back, so that it ends in the dead-letter queue."""
    identity, answer = ask(record["body"], record["messageId"], target, model)
    if is_settled(answer):
        is_error = answer.status not in (200, 202)
        results.publish(f"{model}/{identity}.json", _line(identity, model, answer), is_error=is_error)
    return answer.status in (200, 202)


def ask(body: str, otherwise: str, target: Endpoint, model: str) -> tuple[str, Answer]:
    """A record's id (`otherwise` where it has none) and its answer."""
    try:
        asked = json.loads(body)
    except ValueError:
        return otherwise, failure(400, "not JSON.", "malformed")
    if not isinstance(asked, dict) or "inputs" not in asked:
        return otherwise, failure(422, 'got no "inputs".', "validation")
    identity = str(asked.get("id", otherwise))
    if not ID.fullmatch(identity):
        return otherwise, failure(422, "id: expected 1 to 64 of letters, digits and . _ : @ = + -", "validation")
    if asked.get("model", model) != model:
        return identity, failure(404, f"model: only {model} is served here.", "unknown_model")
    task = asked.get("task")
    if task is not None and not re.fullmatch(r"[a-z0-9-]+", str(task)):
        return identity, failure(404, "task: no such task.", "unknown_task")
    question = {key: asked[key] for key in ("inputs", "parameters") if key in asked}
    route = f"/models/{model}" + (f"/pipeline/{task}" if task else "")
    return identity, target.ask(Question(json.dumps(question).encode(), route, id=identity))


def _line(identity: str, model: str, answer: Answer) -> bytes:
    return json.dumps({"id": identity, "model": model, **fields_of(answer)}).encode()
