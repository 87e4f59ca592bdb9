"""Answers that come in parts, as server-sent events."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from layers.serving.json_body import json_bytes

logger = logging.getLogger("hundredfold.serving")

# Stands in the scope of a request whose stream broke off, for those who count.
BROKEN_OFF = "hundredfold.broken_off"
# What JSON leaves as it is and clients take for the end of a line: httpx splits as str.splitlines does.
ENDS_OF_LINES = [(end.encode("utf-8"), b"\\u%04x" % ord(end)) for end in "\u0085\u2028\u2029"]
HEADERS = {"cache-control": "no-cache", "x-accel-buffering": "no"}


def server_sent(value: object) -> bytes:
    """A value as one event. Raises ValueError as `json_bytes`."""
    text = json_bytes(value)
    for end, escaped in ENDS_OF_LINES:
        text = text.replace(end, escaped)
    return b"data: " + text + b"\n\n"


class EventStream(StreamingResponse):
    """Sends `first` and what follows it; `failed` makes the last event of an error, too late for a status code.

    When the client has gone, the events are closed and with them the work behind them.
    """

    def __init__(
        self,
        first: bytes,
        others: AsyncGenerator[bytes],
        failed: Callable[[Exception], bytes],
        headers: Mapping[str, str],
    ) -> None:
        super().__init__(others, headers={**HEADERS, **headers}, media_type="text/event-stream")
        self._first = first
        self._others = others
        self._failed = failed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send everything, or as much as the client waits for."""
        gone = asyncio.ensure_future(_gone(receive))
        try:
            async with aclosing(self._others):
                await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
                async for event in self._events(scope):
                    if gone.done():
                        return
                    await send({"type": "http.response.body", "body": event, "more_body": True})
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        except OSError:  # how a server may say that the client has gone
            return
        finally:
            gone.cancel()

    async def _events(self, scope: Scope) -> AsyncGenerator[bytes]:
        yield self._first
        try:
            async for event in self._others:
                yield event
        except Exception as error:
            logger.exception("a stream failed")
            scope[BROKEN_OFF] = True
            yield self._failed(error)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
