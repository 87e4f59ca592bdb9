"""Answers that are not the application's: a refusal in its sender's shape, and the one for what Lambda cannot carry."""

from __future__ import annotations

import json
from typing import Any

from functions.https.event_path import path_of
from layers.serving.openai_error import is_openai, openai_error

# A synchronous invocation's answer, as JSON (docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html: 6 MB;
# Lambda's own error names the exact number). A load balancer takes 1 MB from a function.
LAMBDA_ANSWER_BYTES = 6_291_556
LOAD_BALANCER_ANSWER_BYTES = 1_000_000
# A character is at most two escapes of six bytes in the JSON that the runtime client writes.
BYTES_PER_CHARACTER = 12


def refusal(event: dict[str, Any], status: int, error: str, error_type: str) -> dict[str, Any]:
    """An error as the sender of `event` takes it, in the words of the API that its path belongs to."""
    plain = {"error": error, "error_type": error_type}
    answer: dict[str, Any] = {
        "statusCode": status,
        "body": json.dumps(openai_error(error, error_type) if is_openai(path_of(event)) else plain),
        "isBase64Encoded": False,
    }
    if "multiValueHeaders" in event and event.get("headers") is None:
        return {**answer, "multiValueHeaders": {"content-type": ["application/json"]}}
    return {**answer, "headers": {"content-type": "application/json"}}


def within_limit(event: dict[str, Any], answer: dict[str, Any], limit_bytes: int | None = None) -> dict[str, Any]:
    """The answer, or a 413 that says how to ask for less when Lambda could not carry it.

    Lambda's own answer to a larger one is a 502 without a word of the cause.
    """
    limit = limit_bytes or limit_of(event)
    # Most answers are far below any limit: counting characters is free, serializing is not.
    if BYTES_PER_CHARACTER * len(answer.get("body") or "") < limit:
        return answer
    size = len(json.dumps(answer))
    if size <= limit:
        return answer
    message = (
        f"the answer is too large: got {size:,} bytes, a function answers with at most {limit:,}. Ask for less: "
        "fewer inputs in a request, a smaller top_k or dimensions, encoding_format: base64. "
        "For many texts put a file into the model's bucket: its results have no such limit."
    )
    return refusal(event, 413, message, "answer_too_large")


def limit_of(event: dict[str, Any]) -> int:
    """Bytes that an answer may have on its way to the sender of `event`."""
    context = event.get("requestContext")
    from_load_balancer = isinstance(context, dict) and "elb" in context
    return LOAD_BALANCER_ANSWER_BYTES if from_load_balancer else LAMBDA_ANSWER_BYTES
