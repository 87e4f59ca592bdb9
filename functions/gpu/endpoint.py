"""What stands before the application for as long as it cannot answer: while models load, and when the end has come."""

from __future__ import annotations

from fastapi import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from layers.serving.failures import failure

# The connection is given up, so that the next request finds another instance.
REFUSAL = {"retry-after": "1", "connection": "close"}


class Endpoint:
    """An ASGI application that answers 503 until it is opened and from when it drains; called on one event loop."""

    def __init__(self) -> None:
        self._application: ASGIApp | None = None
        self.draining = False
        self.in_flight = 0

    def open(self, application: ASGIApp) -> None:
        """Models are loaded and warm: answer from now on."""
        self._application = application

    def drain(self) -> None:
        """Refuse what comes from now on; what is in flight goes on."""
        self.draining = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if self.draining:
            await _refusal("the endpoint is being stopped.", "stopping")(scope, receive, send)
        elif self._application is None:
            await _refusal("the models are being loaded.", "starting")(scope, receive, send)
        else:
            self.in_flight += 1
            try:
                await self._application(scope, receive, send)
            finally:
                self.in_flight -= 1


def _refusal(error: str, error_type: str) -> Response:
    return failure(503, f"{error} Try again later.", error_type, REFUSAL)
