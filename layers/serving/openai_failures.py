"""Errors as OpenAI's clients read them: {"error": {"message", "type", "param", "code"}}, for everything under /v1."""

from __future__ import annotations

import json
from collections.abc import Mapping

from fastapi import Response

from layers.errors import InputError
from layers.serving.failures import FAILED, RETRY, GuardedRoute

# By error_type of the other routes: OpenAI's type and code.
CODES = {
    "unknown_model": ("invalid_request_error", "model_not_found"),
    "unknown_task": ("invalid_request_error", "model_not_found"),
    "not_found": ("invalid_request_error", "unknown_url"),
    "overloaded": ("rate_limit_exceeded", "rate_limit_exceeded"),
    "internal": ("server_error", None),
}


class OpenAIRoute(GuardedRoute):
    """A route whose errors have OpenAI's shape."""

    def refused(self, error: InputError) -> Response:
        """What is wrong with a request is a 400, as OpenAI says it."""
        status = 400 if error.status == 422 else error.status
        headers = RETRY if status == 429 else None
        return openai_failure(status, str(error), error.error_type, parameter=error.parameter, headers=headers)

    def failed(self) -> Response:
        """Our fault."""
        return openai_failure(500, FAILED, "internal")


def is_openai(path: str) -> bool:
    """Whether a path belongs to OpenAI's API, of the application or of one model."""
    return path == "/v1" or path.startswith("/v1/") or (path.startswith("/models/") and "/v1/" in path)


def openai_error(message: str, error_type: str, parameter: str | None = None) -> dict[str, object]:
    """The body; `error_type` is that of the other routes."""
    kind, code = CODES.get(error_type, ("invalid_request_error", None))
    return {"error": {"message": message, "type": kind, "param": parameter, "code": code}}


def openai_failure(
    status: int,
    message: str,
    error_type: str,
    *,
    parameter: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """An error as a response. ASCII only, so that a message quoting half a surrogate pair can still be sent."""
    body = json.dumps(openai_error(message, error_type, parameter))
    return Response(body, status, dict(headers or {}), "application/json")
