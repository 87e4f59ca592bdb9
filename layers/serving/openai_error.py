"""An error's body as OpenAI's clients read it. Knows no HTTP framework: functions before an endpoint have none."""

from __future__ import annotations

# By error_type of the other routes: OpenAI's type and code.
CODES = {
    "unknown_model": ("invalid_request_error", "model_not_found"),
    "unknown_task": ("invalid_request_error", "model_not_found"),
    "not_found": ("invalid_request_error", "unknown_url"),
    "overloaded": ("rate_limit_exceeded", "rate_limit_exceeded"),
    "internal": ("server_error", None),
    "endpoint": ("server_error", None),
    "timeout": ("server_error", None),
}


def is_openai(path: str) -> bool:
    """Whether a path belongs to OpenAI's API, of the application or of one model."""
    return path == "/v1" or path.startswith("/v1/") or (path.startswith("/models/") and "/v1/" in path)


def openai_status(status: int) -> int:
    """What is wrong with a request is a 400, as OpenAI says it."""
    return 400 if status == 422 else status


def openai_error(message: str, error_type: str, parameter: str | None = None) -> dict[str, object]:
    """The body; `error_type` is that of the other routes."""
    kind, code = CODES.get(error_type, ("invalid_request_error", None))
    return {"error": {"message": message, "type": kind, "param": parameter, "code": code}}
