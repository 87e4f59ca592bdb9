"""The runtime loop: an event from Lambda, its answer back, and so on until the environment ends."""

from __future__ import annotations

import asyncio
import http.client
import logging
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any, Protocol

from functions.logs import JsonFormatter
from functions.streaming.http_stream import Application, HttpStream, send_whole
from functions.streaming.runtime_api import Invocation, RuntimeApi, RuntimeApiError
from functions.triggers import trigger_of
from layers.errors import InputError

logger = logging.getLogger("hundredfold.streaming")


class Request(Protocol):
    """An event taken apart (one of Mangum's handlers)."""

    @property
    def scope(self) -> Any:
        """ASGI's scope."""

    @property
    def body(self) -> bytes:
        """Decoded. Raises ValueError when it cannot be."""


class StreamingFunction:
    """What is asked of the HTTPS function: its application for what can be streamed, its handler for the rest."""

    def __init__(
        self,
        application: Application,
        take_apart: Callable[[Any, Any], Request],
        handler: Callable[[Any, Any], Any],
        formatter: JsonFormatter,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """`loop` is the one that `handler` runs the application on: an application belongs to one loop."""
        self._application = application
        self._take_apart = take_apart
        self._handler = handler
        self._formatter = formatter
        self._loop = loop

    def answer(self, invocation: Invocation, api: RuntimeApi) -> None:
        """Answer one event. Raises RuntimeApiError and OSError when Lambda takes no answer."""
        request_id = self._formatter.request_id = invocation.aws_request_id
        try:
            if trigger_of(invocation.event) != "https":
                raise InputError("this function answers HTTP requests, and no events of a queue or bucket.")
        except InputError as error:
            api.fail(request_id, "Function.UnexpectedEvent", str(error))
            return
        streams = can_stream(invocation.event)
        if streams and (request := self._request(invocation)) is not None:
            stream = HttpStream(invocation, lambda: api.respond_in_parts(request_id))
            self._loop.run_until_complete(stream.answer(self._application, *request))
            return
        try:
            answer = self._handler(invocation.event, invocation)
        except Exception:
            logger.exception("the handler failed")
            api.fail(request_id, "Function.Failed", "The server failed to answer. The cause is in its log.")
            return
        if streams:
            send_whole(api.respond_in_parts(request_id), answer)
        else:
            api.respond(request_id, answer)

    def _request(self, invocation: Invocation) -> tuple[Any, bytes] | None:
        """Scope and body; None for an event that the handler has to refuse, such as one that Mangum does not know."""
        try:
            request = self._take_apart(invocation.event, invocation)
            return request.scope, request.body
        except (ValueError, KeyError, TypeError, AttributeError, RuntimeError):
            return None


def can_stream(event: Any) -> bool:
    """Function URLs and REST APIs take answers in parts; HTTP APIs and load balancers take whole ones only."""
    context = event["requestContext"]
    if not isinstance(context, dict) or "elb" in context:
        return False
    if event.get("version") == "2.0":
        return ".lambda-url." in str(context.get("domainName"))
    return True


def run(load: Callable[[], StreamingFunction], restore: Callable[[RuntimeApi], bool] | None = None) -> int:
    """Until the environment ends; the exit status is 1 when it could not start, 2 outside Lambda.

    `restore` lets a snapshot be taken and is called where there will be one; false says that it failed.
    """
    address = os.environ.get("AWS_LAMBDA_RUNTIME_API")
    if not address:
        print("error: AWS_LAMBDA_RUNTIME_API is not set: this runs in Lambda, or in its emulator.", file=sys.stderr)
        return 2
    api = RuntimeApi(address)
    try:
        function = load()
    except Exception as error:
        traceback.print_exc()
        api.fail_init(f"Runtime.{type(error).__name__}", str(error))
        return 1
    if restore and os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start" and not restore(api):
        return 1
    serve(function, api)
    return 0


def serve(function: StreamingFunction, api: RuntimeApi) -> None:
    """Answer events until Lambda ends the process. Returns only when the Runtime API asks for it."""
    while True:
        try:
            invocation = api.next()
        except (RuntimeApiError, OSError, http.client.HTTPException) as error:
            print(f"no further event: {error}", file=sys.stderr)
            return
        if invocation.trace_id:
            os.environ["_X_AMZN_TRACE_ID"] = invocation.trace_id
        try:
            function.answer(invocation, api)
        except RuntimeApiError as error:
            logger.error("the answer was not taken: %s", error)
            if error.fatal:
                return
        except (OSError, http.client.HTTPException) as error:
            logger.error("the answer was not taken: %s", error)
