"""One HTTP request through an ASGI application, its answer sent to Lambda part by part."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any

from functions.streaming.runtime_api import Invocation, ResponseStream

logger = logging.getLogger("hundredfold.streaming")

Message = MutableMapping[str, Any]
Application = Callable[[Any, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]

# The status and headers of the answer stand before its body, as JSON and eight zero bytes.
SEPARATOR = bytes(8)
# What is transferred is chunked, whatever the application meant to send; connections are not its business.
HOP_BY_HOP = {"content-length", "transfer-encoding", "connection", "keep-alive"}
# Time to say that the answer is broken off, before Lambda ends the environment without a word.
SPARE_MS = 500
FAILED = b'{"error": "The server failed to answer. The cause is in its log.", "error_type": "internal"}'


class DeadlineError(OSError):
    """The function's time is up. An OSError, which applications take as a client that has gone."""


class HttpStream:
    """Drives an application for one invocation."""

    def __init__(self, invocation: Invocation, begin: Callable[[], ResponseStream], spare_ms: int = SPARE_MS) -> None:
        """`begin` opens the answer when the application starts it."""
        self._invocation = invocation
        self._begin = begin
        self._spare_ms = spare_ms
        self._stream: ResponseStream | None = None
        self._complete = False
        self._broken: OSError | None = None

    async def answer(self, application: Application, scope: Any, body: bytes) -> None:
        """Answer one request. Whatever the application does, the answer is ended, failed or abandoned.

        Raises RuntimeApiError when Lambda refuses what was sent.
        """
        requests: asyncio.Queue[Message] = asyncio.Queue()
        requests.put_nowait({"type": "http.request", "body": body, "more_body": False})
        error: Exception | None = None
        try:
            # The application learns from a failing `send` that nobody listens, not from a message.
            scope["asgi"] = {"version": "3.0", "spec_version": "2.4"}
            await application(scope, requests.get, self._send)
        except Exception as raised:
            error = raised
        self._finish(error)

    async def _send(self, message: Message) -> None:
        if self._broken is not None:
            raise self._broken
        try:
            if message["type"] == "http.response.start":
                self._stream = self._begin()
                self._stream.write(prelude(message["status"], message.get("headers", ())))
            elif message["type"] == "http.response.body":
                assert self._stream is not None, "an answer starts before its body"
                more = message.get("more_body", False)
                # To send the end takes no longer than to say that the answer broke off.
                if more and self._invocation.get_remaining_time_in_millis() < self._spare_ms:
                    raise DeadlineError("the function's time is up")
                # Blocks while Lambda takes no more, which is what slows the model down to the reader's pace.
                self._stream.write(message.get("body", b""))
                self._complete = not more
        except OSError as error:
            self._broken = error
            raise

    def _finish(self, error: Exception | None) -> None:
        try:
            if self._stream is None:
                logger.error("the application failed", exc_info=error)
                self._stream = self._begin()
                self._stream.write(prelude(500, [(b"content-type", b"application/json")]) + FAILED)
                self._stream.end()
            elif isinstance(self._broken, DeadlineError):
                logger.error("time is up in the midst of an answer")
                self._stream.fail("Function.TimeIsUp", "The function's time was up before the answer was complete.")
            elif self._broken is not None:
                logger.warning("nobody takes the answer: %s", self._broken)
                self._stream.abandon()
            elif self._complete and error is None:
                self._stream.end()
            else:
                logger.error("an answer broke off", exc_info=error)
                self._stream.fail("Function.BrokenAnswer", "The server failed in the midst of an answer.")
        except OSError as gone:
            logger.warning("nobody takes the answer: %s", gone)
            if self._stream is not None:
                self._stream.abandon()


def send_whole(stream: ResponseStream, answer: Mapping[str, Any]) -> None:
    """An answer that is there already, in the shape that handlers return: text, with one value a header."""
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer["headers"].items()]
    stream.write(prelude(answer["statusCode"], headers) + answer["body"].encode("utf-8"))
    stream.end()


def prelude(status: int, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Status and headers as Lambda's HTTP integration reads them, with the separator."""
    single: dict[str, str] = {}
    cookies: list[str] = []
    for raw_name, raw_value in headers:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        if name == "set-cookie":
            cookies.append(value)
        elif name not in HOP_BY_HOP:
            single[name] = f"{single[name]}, {value}" if name in single else value
    return json.dumps({"statusCode": status, "headers": single, "cookies": cookies}).encode("ascii") + SEPARATOR
