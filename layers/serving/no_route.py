"""Unknown routes and wrong methods, told in the shape of the API that the path belongs to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from layers.serving.failures import GuardedRoute, failure
from layers.serving.openai_error import is_openai
from layers.serving.openai_failures import openai_failure


def install_failures(app: FastAPI) -> None:
    """Have every route guarded, and what has no route answered like one."""
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
    message, error_type = explanations.get(error.status_code, fallback)
    if is_openai(request.url.path):
        return openai_failure(error.status_code, message, error_type, headers=error.headers)
    return failure(error.status_code, message, error_type, error.headers)
