"""Errors as clients of TEI and TGI read them: {"error", "error_type"}, and nothing of our insides."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
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
                return failure(error.status, str(error), error.error_type, RETRY if error.status == 429 else None)
            except Exception:
                logger.exception("%s %s failed", request.method, request.url.path)
                return failure(500, FAILED, "internal")

        return guarded


def install_failures(app: FastAPI) -> None:
    """Unknown routes and wrong methods answer in the same shape."""
    app.router.route_class = GuardedRoute
    handler: Callable[[Request, Exception], Awaitable[Response]] = _no_route
    app.add_exception_handler(HTTPException, handler)


async def _no_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    explanations = {
        404: (f"no route {request.method} {request.url.path}. GET / lists them.", "not_found"),
        405: (f"{request.url.path} does not take {request.method}.", "method_not_allowed"),
    }
    fallback = (str(error.detail), HTTPStatus(error.status_code).name.lower())
    return failure(error.status_code, *explanations.get(error.status_code, fallback), error.headers)
