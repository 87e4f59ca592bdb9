"""API Gateway's HTTP APIs put the stage before the path; the application's routes know no stage."""

from __future__ import annotations

from typing import Any


def without_stage(event: dict[str, Any]) -> dict[str, Any]:
    """The event with its stage taken off the path; other events as they are."""
    context = event.get("requestContext")
    http = context.get("http") if isinstance(context, dict) else None
    if not isinstance(context, dict) or not isinstance(http, dict):
        return event
    path, prefix = http.get("path", ""), f"/{context.get('stage')}"
    if path != prefix and not path.startswith(f"{prefix}/"):
        return event
    path = path[len(prefix) :] or "/"
    return {**event, "rawPath": path, "requestContext": {**context, "http": {**http, "path": path}}}
