"""Asks a function version what its artifact's manifest asks, as the HTTPS trigger would."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from typing import Any, Protocol

from functions.check.answers import difference

POLL_SECONDS = 5.0


class WrongAnswerError(Exception):
    """The new version must not be given requests; the message says what it answered."""


class Clients(Protocol):
    """boto3's clients for Lambda and S3, or what stands in for them."""

    def invoke(self, function_arn: str, event: dict[str, Any]) -> dict[str, Any]:
        """The function's own answer. Raises WrongAnswerError when it failed."""

    def read_object(self, bucket: str, key: str) -> bytes | None:
        """An object's content, None while there is none."""


def check(
    clients: Clients,
    function_arn: str,
    digests: dict[str, str],
    goldens: dict[str, list[dict[str, Any]]],
    *,
    remaining_seconds: Callable[[], float],
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Ask every model for its digest and its goldens; returns how many questions were answered rightly.

    Raises WrongAnswerError naming model, question and difference.
    """
    asked = 0
    for name, digest in digests.items():
        info = _body(clients.invoke(function_arn, http_event("GET", f"/models/{name}/info")), name)
        if info.get("digest") != digest:
            raise WrongAnswerError(f"{name}: expected the artifact {digest}, got {info.get('digest')}")
        for number, golden in enumerate(goldens.get(name, [])):
            question = {"inputs": golden["inputs"]}
            if golden.get("parameters"):
                question["parameters"] = golden["parameters"]
            answer = clients.invoke(function_arn, http_event("POST", f"/models/{name}", question))
            body = _body(answer, name)
            if answer.get("statusCode") == 202:
                body = _await_result(clients, body, name, remaining_seconds, sleep)
            found = difference(golden["outputs"], body, golden["tolerance"])
            if found:
                raise WrongAnswerError(f"{name}: golden input {number}: {found}")
            asked += 1
    return asked


def http_event(method: str, path: str, body: Any = None) -> dict[str, Any]:
    """A Function URL's event."""
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"content-type": "application/json", "accept": "application/json", "host": "check.internal"},
        "requestContext": {
            "http": {
                "method": method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "127.0.0.1",
                "userAgent": "check",
            },
            "domainName": "check.internal",
            "requestId": "golden-check",
            "stage": "$default",
            "timeEpoch": 0,
        },
        "body": None if body is None else json.dumps(body),
        "isBase64Encoded": False,
    }


def _body(answer: dict[str, Any], name: str) -> Any:
    text = answer.get("body") or ""
    if answer.get("isBase64Encoded"):
        text = base64.b64decode(text).decode("utf-8")
    if answer.get("statusCode") not in (200, 202):
        raise WrongAnswerError(f"{name}: status {answer.get('statusCode')}: {text[:500]}")
    return json.loads(text)


def _await_result(
    clients: Clients,
    accepted: dict[str, Any],
    name: str,
    remaining_seconds: Callable[[], float],
    sleep: Callable[[float], None],
) -> Any:
    """The result of an asynchronous endpoint, which may first have to start an instance, or its failure."""
    failure = accepted.get("failure_location")
    while (content := _object_at(clients, accepted["output_location"])) is None:
        if failure and (words := _object_at(clients, failure)) is not None:
            raise WrongAnswerError(f"{name}: the endpoint failed: {words[:500].decode('utf-8', 'replace')}")
        if remaining_seconds() < 2 * POLL_SECONDS:
            raise WrongAnswerError(f"{name}: no result at {accepted['output_location']} in time")
        sleep(POLL_SECONDS)
    return json.loads(content)


def _object_at(clients: Clients, url: str) -> bytes | None:
    bucket, _, key = url.removeprefix("s3://").partition("/")
    return clients.read_object(bucket, key)
