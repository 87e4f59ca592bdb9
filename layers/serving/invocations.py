"""POST /invocations, SageMaker's one route: the body, or what the caller says beside it, tells which of ours is meant.

The request goes on to that route as it came, so answers and errors are those that its clients know.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from layers.errors import InputError
from layers.serving.bodies import read_bytes
from layers.serving.failures import failure
from layers.wording import shown

PATH = "/invocations"
# The one header of a caller that SageMaker hands on (API reference, InvokeEndpoint).
ATTRIBUTES = "x-amzn-sagemaker-custom-attributes"
# Visible ASCII, either way (the same page).
MOST_CHARACTERS = 1024
# What SageMaker gives as the content type, or what is the connection's business.
NOT_TOLD = ("content-type", "content-length")

CHATS, COMPLETIONS, EMBEDDINGS = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"
OPENAI = {"messages": CHATS, "prompt": COMPLETIONS, "input": EMBEDDINGS}
# What only clients of text-embeddings-inference send beside `inputs`.
TEI = {"raw_scores": "/predict", "normalize": "/embed"}


# Pairs in the header that are read here, and the fields below that they fill.
PAIRS = {
    "model": "model",
    "task": "task",
    "route": "route",
    "method": "method",
    "tell": "tell",
    "x-use-cache": "use_cache",
}


@dataclass(frozen=True, slots=True)
class Attributes:
    """What the header asks for: `model=NAME,task=TASK,route=/PATH,...`, each or none. Others are somebody else's.

    `method` is that of the route, POST without it. `tell` is `headers` where the answer's headers are wanted beside
    these pairs. `use_cache` is the header `x-use-cache`. SageMaker hands on none of the three by itself.
    """

    model: str | None = None
    task: str | None = None
    route: str | None = None
    method: str | None = None
    tell: str | None = None
    use_cache: str | None = None

    @classmethod
    def read(cls, header: str) -> Attributes:
        """Pairs stand between commas or semicolons. Raises InputError (422) for one that is given twice or empty."""
        found: dict[str, str] = {}
        for pair in header.replace(";", ",").split(","):
            name, equals, value = (part.strip() for part in pair.partition("="))
            if not equals or name not in PAIRS:
                continue
            if not value or PAIRS[name] in found:
                raise InputError(f"header {ATTRIBUTES}: got {shown(header)}, expected one value for {name}.")
            found[PAIRS[name]] = value
        attributes = cls(**found)
        if attributes.route and (attributes.model or attributes.task):
            raise InputError(f"header {ATTRIBUTES}: got route beside model or task, expected one or the other.")
        if attributes.method and not (attributes.route and re.fullmatch("[A-Z]+", attributes.method)):
            raise InputError(f"header {ATTRIBUTES}: got {shown(header)}, expected method=GET or its like beside route.")
        if attributes.tell not in (None, "headers"):
            raise InputError(f"header {ATTRIBUTES}: got tell={attributes.tell}, expected tell=headers.")
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
        returning = send if header is None else _with_header(send, header, tells=False)
        try:
            body = await read_bytes(request, self._max_body_bytes)
            attributes = Attributes.read(header or "")
            route = route_of(_parsed(body), attributes, self._models)
        except InputError as error:
            await failure(error.status, str(error), error.error_type)(scope, receive, returning)
            return
        if header is not None and attributes.tell:
            returning = _with_header(send, header, tells=True)
        await self._application(_moved(scope, route, attributes), _replayed(body, receive), returning)


def _moved(scope: Scope, route: str, attributes: Attributes) -> Scope:
    """The request as it would have come to the route itself."""
    headers = list(scope["headers"])
    if attributes.use_cache:
        headers = [pair for pair in headers if pair[0] != b"x-use-cache"]
        headers.append((b"x-use-cache", attributes.use_cache.encode("latin-1")))
    # The answer goes back to a POST, which may not lack its body.
    method = "GET" if attributes.method == "HEAD" else attributes.method or "POST"
    return {**scope, "method": method, "path": route, "raw_path": route.encode(), "headers": headers}


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


def _with_header(send: Send, value: str, *, tells: bool) -> Send:
    """Answers have the header too; with the headers of the answer behind it where it `tells`."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = list(message.get("headers", ()))
            told = _told(value, own) if tells else value
            message = {**message, "headers": [*own, (ATTRIBUTES.encode(), told.encode("latin-1"))]}
        await send(message)

    return sent


def _told(value: str, headers: Iterable[tuple[bytes, bytes]]) -> str:
    """`;NAME=VALUE` for each header, percent-encoded, as far as there is room."""
    for name, content in headers:
        # What parts pairs, and what is not visible ASCII, is encoded.
        encoded = quote(content, safe="!\"#$&'()*+-./:<=>?@[]^_`{|}~")
        pair = f";{name.decode('latin-1').lower()}={encoded}"
        if name.decode("latin-1").lower() not in NOT_TOLD and len(value) + len(pair) <= MOST_CHARACTERS:
            value += pair
    return value
