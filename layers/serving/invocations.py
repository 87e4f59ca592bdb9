"""POST /invocations, SageMaker's one route: the body, or what the caller says beside it, tells which of ours is meant.

The request goes on to that route as it came, so answers and errors are those that its clients know.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from layers.errors import InputError
from layers.serving.bodies import read_bytes
from layers.serving.failures import failure
from layers.wording import shown

PATH = "/invocations"
# The one header of a caller that SageMaker hands on (API reference, InvokeEndpoint).
ATTRIBUTES = "x-amzn-sagemaker-custom-attributes"

CHATS, COMPLETIONS, EMBEDDINGS = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"
OPENAI = {"messages": CHATS, "prompt": COMPLETIONS, "input": EMBEDDINGS}
# What only clients of text-embeddings-inference send beside `inputs`.
TEI = {"raw_scores": "/predict", "normalize": "/embed"}


@dataclass(frozen=True, slots=True)
class Attributes:
    """What the header asks for: `model=NAME,task=TASK,route=/PATH`, each or none. Others are somebody else's."""

    model: str | None = None
    task: str | None = None
    route: str | None = None

    @classmethod
    def read(cls, header: str) -> Attributes:
        """Pairs stand between commas or semicolons. Raises InputError (422) for one that is given twice or empty."""
        found: dict[str, str] = {}
        for pair in header.replace(";", ",").split(","):
            name, equals, value = (part.strip() for part in pair.partition("="))
            if not equals or name not in ("model", "task", "route"):
                continue
            if not value or name in found:
                raise InputError(f"header {ATTRIBUTES}: got {shown(header)}, expected one value for {name}.")
            found[name] = value
        attributes = cls(**found)
        if attributes.route and (attributes.model or attributes.task):
            raise InputError(f"header {ATTRIBUTES}: got route beside model or task, expected one or the other.")
        return attributes


def route_of(content: Any, attributes: Attributes, models: Collection[str]) -> str:
    """The path that answers a body; `content` is None where it is not JSON.

    Raises InputError: 404 for a task with no model named where there are several, 422 for a model named beside a body
    that names none.
    """
    if attributes.route:
        if not attributes.route.startswith("/") or attributes.route == PATH:
            raise InputError(f"header {ATTRIBUTES}: got route {shown(attributes.route)}, expected one of GET /'s list.")
        return attributes.route
    if attributes.task:
        return f"/models/{attributes.model or _only(models)}/pipeline/{attributes.task}"
    route = _route_by_content(content if isinstance(content, dict) else {})
    if attributes.model is None:
        return route
    if route == "/":
        return f"/models/{attributes.model}"
    if route in OPENAI.values():
        return f"/models/{attributes.model}{route}"
    raise InputError(
        f"header {ATTRIBUTES}: got a model beside a body for {route}, which asks the only model that can. Name a task "
        'too, and send {"inputs": ..., "parameters": {...}}.'
    )


def _route_by_content(content: Mapping[str, Any]) -> str:
    if "inputs" in content:
        return next((route for key, route in TEI.items() if key in content), "/")
    if "query" in content and "texts" in content:
        return "/rerank"
    return next((route for key, route in OPENAI.items() if key in content), "/")


def _only(models: Collection[str]) -> str:
    if len(models) != 1:
        raise InputError(
            f"several models are served here: name one as model={'|'.join(models)} in {ATTRIBUTES}.",
            status=404,
            error_type="unknown_model",
        )
    return next(iter(models))


class Invocations:
    """An ASGI application around ours that knows /invocations too; the header comes back as it was sent."""

    def __init__(self, application: ASGIApp, models: Collection[str], max_body_bytes: int) -> None:
        self._application = application
        self._models = models
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["path"] != PATH or scope["method"] != "POST":
            await self._application(scope, receive, send)
            return
        request = Request(scope, receive)
        header = request.headers.get(ATTRIBUTES)
        returning = send if header is None else _with_header(send, header)
        try:
            body = await read_bytes(request, self._max_body_bytes)
            route = route_of(_parsed(body), Attributes.read(header or ""), self._models)
        except InputError as error:
            await failure(error.status, str(error), error.error_type)(scope, receive, returning)
            return
        moved = {**scope, "path": route, "raw_path": route.encode()}
        await self._application(moved, _replayed(body, receive), returning)


def _parsed(body: bytes) -> Any:
    """None where it is not JSON: the route that is asked refuses it."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _replayed(body: bytes, receive: Receive) -> Receive:
    """The body once more, and then whatever else comes, such as the client's leaving."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return again


def _with_header(send: Send, value: str) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [*message.get("headers", ()), (ATTRIBUTES.encode(), value.encode("latin-1"))]
            message = {**message, "headers": headers}
        await send(message)

    return sent
