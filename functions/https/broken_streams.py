"""Streams that broke off count as errors, although their status had been sent before and says 200."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from functions.emf import Metrics
from layers.serving.event_stream import BROKEN_OFF


class BrokenStreams:
    """An application whose broken streams are among the `Errors` of the invocation."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        await self._app(scope, receive, send)
        if BROKEN_OFF in scope:
            self._metrics.add("Errors", 1)
