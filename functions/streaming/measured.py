"""The line of metrics of an invocation whose answer is sent in parts, written when the last part is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any

from functions.emf import Metrics
from functions.https.measured import measure
from functions.logs import JsonFormatter
from functions.streaming.http_stream import Application, DeadlineError, Message


class MeasuredApplication:
    """An application that counts as the HTTPS handler does. An answer that never began, or broke off, is an error."""

    def __init__(
        self,
        application: Application,
        metrics: Metrics,
        measure_more: Callable[[Metrics], None],
        formatter: JsonFormatter,
    ) -> None:
        """`measure_more` adds what is not in the answer's head."""
        self._application = application
        self._metrics = metrics
        self._measure_more = measure_more
        self._formatter = formatter

    async def __call__(
        self, scope: Any, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        """Serve one request."""
        began = perf_counter()
        head: dict[str, Any] = {"statusCode": 500, "headers": {}}

        async def send_watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                head["statusCode"] = message["status"]
                head["headers"] = {
                    name.decode("latin-1").lower(): value.decode("latin-1")
                    for name, value in message.get("headers", ())
                }
            try:
                await send(message)
            except DeadlineError:  # applications take it as a caller that has gone, and may swallow it
                head["statusCode"] = 500
                raise

        try:
            await self._application(scope, receive, send_watched)
        except OSError:  # the caller has gone
            raise
        except Exception:
            head["statusCode"] = 500
            raise
        finally:
            measure(self._metrics, head, 1000 * (perf_counter() - began))
            self._measure_more(self._metrics)
            self._metrics.flush({"function_request_id": self._formatter.request_id})
