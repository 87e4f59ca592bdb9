"""Tells the first caller of an environment that it waited for the start, and how long that was."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class ColdStartHeaders:
    """Adds `x-cold-start: 1` and `x-init-time` (milliseconds) to the first response, nothing to later ones."""

    def __init__(self, app: ASGIApp, init_ms: float) -> None:
        self._app = app
        self._headers = [(b"x-cold-start", b"1"), (b"x-init-time", f"{init_ms:.1f}".encode("ascii"))]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        headers, self._headers = self._headers, []

        async def send_marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", []), *headers]}
            await send(message)

        await self._app(scope, receive, send_marked if headers else send)
