"""Errors as OpenAI's clients read them: {"error": {"message", "type", "param", "code"}}, for everything under /v1."""

from __future__ import annotations

import json
from collections.abc import Mapping

from fastapi import Response

from layers.errors import InputError
from layers.serving.failures import FAILED, RETRY, GuardedRoute
from layers.serving.openai_error import openai_error, openai_status


class OpenAIRoute(GuardedRoute):
    """A route whose errors have OpenAI's shape."""

    def refused(self, error: InputError) -> Response:
        """What the caller can mend."""
        status = openai_status(error.status)
        headers = RETRY if status == 429 else None
        return openai_failure(status, str(error), error.error_type, parameter=error.parameter, headers=headers)

    def failed(self) -> Response:
        """Our fault."""
        return openai_failure(500, FAILED, "internal")


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
