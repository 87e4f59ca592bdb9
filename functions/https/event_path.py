"""An HTTP event as the application takes it: its path without a stage or a slash too many, its gaps filled."""

from __future__ import annotations

import re
from typing import Any

SLASHES = re.compile("//+")


def routed(event: dict[str, Any]) -> dict[str, Any]:
    """The event with such a path; one that has no path as it is.

    API Gateway's HTTP APIs put the stage before it. The URLs that AWS prints end in a slash, and callers put another
    one between them and a route: https://ID.lambda-url.REGION.on.aws//v1/embeddings. Events that somebody wrote by hand
    often lack headers and the caller's address, without which Mangum raises.
    """
    context = event.get("requestContext")
    http = context.get("http") if isinstance(context, dict) else None
    if not isinstance(context, dict) or not isinstance(http, dict):
        path = event.get("path")
        return {**event, "path": SLASHES.sub("/", path)} if isinstance(path, str) else event
    if not isinstance(http.get("path"), str):
        return event
    path, prefix = SLASHES.sub("/", http["path"]), f"/{context.get('stage')}"
    if path == prefix or path.startswith(f"{prefix}/"):
        path = path[len(prefix) :] or "/"
    http = {"sourceIp": "", **http, "path": path}
    headers = event.get("headers") or {}
    return {**event, "rawPath": path, "headers": headers, "requestContext": {**context, "http": http}}


def path_of(event: dict[str, Any]) -> str:
    """That path alone; empty where there is none."""
    event = routed(event)
    context = event.get("requestContext")
    http = context.get("http") if isinstance(context, dict) else None
    path = (http if isinstance(http, dict) else event).get("path")
    return path if isinstance(path, str) else ""
