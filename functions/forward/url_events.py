"""A Function URL's event as a question for the endpoint, and the endpoint's answer as what the URL takes."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from functions.forward.endpoint import JSON, Answer, Endpoint, Question, failure
from functions.forward.settings import ForwardSettings
from functions.https.answers import within_limit
from functions.https.event_path import path_of, routed
from layers.serving.openai_error import is_openai, openai_error, openai_status
from layers.wording import shown

INVOCATIONS = "/invocations"
ATTRIBUTES = "x-amzn-sagemaker-custom-attributes"
# A path that the endpoint's attributes can name: visible ASCII without what parts them, and no longer than they are.
PATH = re.compile(r"/(?:(?![,;])[!-~]){0,800}")
# A body must not be empty on its way to the endpoint; routes that are got read none.
NO_BODY = b"{}"


@dataclass(frozen=True)
class UrlFunction:
    """Answers events of payload version 2.0: a Function URL's, or an HTTP API's."""

    endpoint: Endpoint
    settings: ForwardSettings

    def answer(self, event: dict[str, Any]) -> dict[str, Any]:
        """The answer as Lambda's URL takes it, or a 413 where it is larger than that. Raises for no such event."""
        asked = self.question(event)
        answer = asked if isinstance(asked, Answer) else self.endpoint.ask(asked)
        return within_limit(event, returned(worded(answer, event)))

    def question(self, event: dict[str, Any]) -> Question | Answer:
        """What the event asks the endpoint, or the answer to what never reaches it. Raises for no such event."""
        event = routed(event)
        headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
        asked, path = event["requestContext"]["http"]["method"], event["requestContext"]["http"]["path"]
        # The endpoint is asked by POST, whose answer may not lack its body; the URL leaves it out.
        method = "GET" if asked == "HEAD" else asked
        if self.settings.is_asynchronous and method == "GET":
            return self._described(path)
        if path == INVOCATIONS and method != "POST":
            return failure(405, f"{path} does not take {method}.", "method_not_allowed")
        if not PATH.fullmatch(path) or not re.fullmatch("[A-Z]{1,16}", method):
            return failure(404, f"no route {shown(method)} {shown(path)}. GET / lists them.", "not_found")
        try:
            body = _body(event)
        except (ValueError, binascii.Error):
            return failure(400, "body cannot be decoded.", "malformed")
        limit = self.settings.most_body_bytes
        if len(body) > limit:
            what = f"body is too large: got {len(body)} bytes, expected at most {limit}."
            return failure(413, f"{what} Send it in parts; many texts belong into the model's bucket.", "too_large")
        use_cache = headers.get("x-use-cache")
        if use_cache is not None and not re.fullmatch("[A-Za-z0-9]{1,16}", use_cache):
            return failure(422, f"header x-use-cache: got {shown(use_cache)}, expected true or false.", "validation")
        return Question(
            body if method == "POST" else body or NO_BODY,
            None if path == INVOCATIONS else path,
            method,
            headers.get("content-type", JSON),
            _accepted(headers.get("accept")),
            said=headers.get(ATTRIBUTES, ""),
            use_cache=use_cache,
        )

    def _described(self, path: str) -> Answer:
        """What is known without asking: an asynchronous endpoint answers later, and maybe has no instance now."""
        settings = self.settings
        if path in ("/health", "/ping"):
            return Answer(200, json.dumps({"status": "ok"}).encode())
        if path not in ("/info", f"/models/{settings.model}", f"/models/{settings.model}/info"):
            what = f"no route GET {shown(path)} before an asynchronous endpoint: got none of /info, /health, /ping,"
            return failure(404, f"{what} /models/{settings.model}. Other requests are POST.", "not_found")
        known = {name: getattr(settings, name) for name in ("task", "digest", "variant")}
        return Answer(200, json.dumps({"name": settings.model, **known, "mode": "asynchronous"}).encode())


def _accepted(header: str | None) -> str:
    return header if header and header != "*/*" else JSON


def _body(event: Mapping[str, Any]) -> bytes:
    text = event.get("body") or ""
    return base64.b64decode(text, validate=True) if event.get("isBase64Encoded") else text.encode("utf-8")


def worded(answer: Answer, event: Mapping[str, Any]) -> Answer:
    """An error of ours as the API that the path belongs to words it; the application's own are worded so already."""
    if answer.status < 400 or not is_openai(path_of(dict(event))):
        return answer
    content = json.loads(answer.body)
    if not isinstance(content, dict) or "error_type" not in content:
        return answer
    body = json.dumps(openai_error(content["error"], content["error_type"])).encode()
    return replace(answer, status=openai_status(answer.status), body=body)


def returned(answer: Answer) -> dict[str, Any]:
    """An answer as handlers return it."""
    try:
        body, encoded = answer.body.decode("utf-8"), False
    except UnicodeDecodeError:
        body, encoded = base64.b64encode(answer.body).decode("ascii"), True
    return {"statusCode": answer.status, "headers": headers_of(answer), "body": body, "isBase64Encoded": encoded}


def headers_of(answer: Answer) -> dict[str, str]:
    """The application's, and when to try again."""
    again = {"retry-after": "1"} if answer.status in (429, 503) else {}
    return {"content-type": answer.content_type, **answer.headers, **again}
