"""HTTPS trigger: a Function URL's request goes to the endpoint as it came, and the answer back with its status."""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Mapping
from typing import Any

from functions.forward.endpoint import JSON, Answer, Endpoint, Question, endpoint, failure

INVOCATIONS = "/invocations"
ATTRIBUTES = "x-amzn-sagemaker-custom-attributes"
# These part the endpoint's attributes, so a path that holds one is none of ours.
PARTING = (",", ";")


def handler(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    """Answer one event of payload version 2.0."""
    return forward(event, endpoint(), os.environ)


def forward(event: dict[str, Any], target: Endpoint, environment: Mapping[str, str]) -> dict[str, Any]:
    """The answer as Lambda's URL takes it."""
    answer = _answer(event, target, environment)
    headers = {"content-type": answer.content_type}
    if answer.status in (429, 503):
        headers["retry-after"] = "1"
    try:
        body, encoded = answer.body.decode("utf-8"), False
    except UnicodeDecodeError:
        body, encoded = base64.b64encode(answer.body).decode("ascii"), True
    return {"statusCode": answer.status, "headers": headers, "body": body, "isBase64Encoded": encoded}


def _answer(event: dict[str, Any], target: Endpoint, environment: Mapping[str, str]) -> Answer:
    method, path = event["requestContext"]["http"]["method"], event.get("rawPath") or "/"
    if method == "GET":
        return _described(path, environment)
    if method != "POST":
        return failure(405, f"got {method}, expected GET or POST.", "method")
    if any(mark in path for mark in PARTING) or not path.isascii():
        return failure(404, "no such route.", "unknown_route")
    try:
        body = _body(event)
    except (ValueError, binascii.Error):
        return failure(400, "body cannot be decoded.", "malformed")
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    kind, accept = headers.get("content-type", JSON), _accepted(headers.get("accept"))
    if path == INVOCATIONS:
        return target.ask(Question(body, None, kind, accept, said=headers.get(ATTRIBUTES, "")))
    return target.ask(Question(body, path, kind, accept))


def _accepted(header: str | None) -> str:
    return header if header and header != "*/*" else JSON


def _body(event: dict[str, Any]) -> bytes:
    text = event.get("body") or ""
    return base64.b64decode(text, validate=True) if event.get("isBase64Encoded") else text.encode("utf-8")


def _described(path: str, environment: Mapping[str, str]) -> Answer:
    """What is known without asking: SageMaker hands on no GET."""
    name = environment["FORWARD_MODEL"]
    if path not in ("/info", f"/models/{name}/info"):
        return failure(404, f"got GET {path}, expected /models/{name}/info; other requests are POST.", "unknown_route")
    known = {"name": name, "task": environment["FORWARD_TASK"], "digest": environment["FORWARD_DIGEST"]}
    return Answer(200, json.dumps({**known, "mode": environment["FORWARD_MODE"]}).encode())
