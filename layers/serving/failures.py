"""Errors as clients of TEI and TGI read them: {"error", "error_type"}, and nothing of our insides."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from layers.errors import InputError

logger = logging.getLogger("hundredfold.serving")

RETRY = {"retry-after": "1"}
FAILED = "The server failed to answer. The cause is in its log."


def failure(status: int, error: str, error_type: str, headers: Mapping[str, str] | None = None) -> Response:
    """An error as a response. ASCII only, so that a message quoting half a surrogate pair can still be sent."""
    body = json.dumps({"error": error, "error_type": error_type})
    return Response(body, status, dict(headers or {}), "application/json")


class GuardedRoute(APIRoute):
    """Answers every exception of an endpoint here: raised further, it would end the server's own call."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The endpoint, with what it raises turned into responses."""
        answer = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            try:
                return await answer(request)
            except HTTPException:
                raise
            except InputError as error:
                return self.refused(error)
            except Exception:
                logger.exception("%s %s failed", request.method, request.url.path)
                return self.failed()

        return guarded

    def refused(self, error: InputError) -> Response:
        """What the caller can mend."""
        return failure(error.status, str(error), error.error_type, RETRY if error.status == 429 else None)

    def failed(self) -> Response:
        """Our fault."""
        return failure(500, FAILED, "internal")
