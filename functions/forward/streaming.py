"""`python -m functions.forward.streaming`: the HTTPS trigger before an endpoint, with answers that leave as they come.

The runtime loop is the one of `functions.streaming`; `stream.sh` has Lambda start it in the place of Python's own.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from functions.emf import Metrics
from functions.forward.broken_streams import watched
from functions.forward.endpoint import Answer, Question, RealtimeEndpoint, StreamingEndpoint, no_parts
from functions.forward.url_events import UrlFunction, headers_of, worded
from functions.streaming.http_stream import Message
from functions.streaming.loop import StreamingFunction, run
from functions.streaming.measured import MeasuredApplication

ALWAYS = "/generate_stream"


@dataclass(frozen=True)
class UrlRequest:
    """An event as the loop hands it to an application; ours reads the event itself."""

    scope: dict[str, Any]
    body: bytes = b""


@dataclass
class StreamedForward:
    """An ASGI application whose answers are the endpoint's, streams part by part.

    A stream that breaks off is among the `Errors` of `metrics`. `first_headers` go with the first answer, and are
    taken out then.
    """

    function: UrlFunction
    endpoint: StreamingEndpoint
    metrics: Metrics
    first_headers: dict[str, str] = field(default_factory=dict)

    async def __call__(
        self, scope: Any, _receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        """Serve one request. Raises what `StreamingEndpoint.stream` does, in the midst of an answer."""
        asked = self.function.question(scope["event"])
        if isinstance(asked, Question) and asks_for_stream(asked):
            answer, parts = self.endpoint.stream(asked)
            parts = watched(parts, lambda: self.metrics.add("Errors", 1))
        else:
            answer = asked if isinstance(asked, Answer) else self.endpoint.ask(asked)
            parts = no_parts()
        answer = worded(answer, scope["event"])
        headers = {**headers_of(answer), **self.first_headers}
        self.first_headers.clear()
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        with closing(parts):
            await send({"type": "http.response.start", "status": answer.status, "headers": raw})
            for part in chain([answer.body], parts):
                await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def asks_for_stream(question: Question) -> bool:
    """What the application would answer with events: only then is the answer worth the parts that it comes in."""
    if question.route == ALWAYS:
        return True
    try:
        content = json.loads(question.body)
    except (ValueError, RecursionError):
        return False
    if not isinstance(content, dict):
        return False
    parameters = content.get("parameters")
    return content.get("stream") is True or (isinstance(parameters, dict) and parameters.get("stream") is True)


def load() -> StreamingFunction:
    """The HTTPS function before its endpoint. Raises what its handler raises at import."""
    from functions.forward import https

    endpoint = https.environment.endpoint
    assert isinstance(endpoint, RealtimeEndpoint), "a stack refuses streaming before an asynchronous endpoint"
    metrics = https.environment.metrics
    application = StreamedForward(https.function, endpoint, metrics, https.cold_headers)
    formatter = https.environment.invocations.formatter
    return StreamingFunction(
        MeasuredApplication(application, metrics, lambda _: None, formatter),
        lambda event, _: UrlRequest({"type": "http", "event": event}),
        https.handler,
        formatter,
        asyncio.new_event_loop(),
    )


if __name__ == "__main__":
    sys.exit(run(load))
