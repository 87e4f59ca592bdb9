"""uvicorn, with the beginning and the end that SageMaker wants of a container.

It wants connections accepted at once, 200 from /ping only when requests can be answered, and everything in flight
answered between SIGTERM and the SIGKILL 30 s later (docs: your-algorithms-inference-code).
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from threading import Thread
from time import monotonic
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from functions.gpu.endpoint import Endpoint
from layers.errors import HundredfoldError

DRAIN_SECONDS = 28.0
CLOSE_SECONDS = 1

logger = logging.getLogger("hundredfold.gpu")


class DrainingServer(uvicorn.Server):
    """Goes on listening after a signal, so that late requests are told; ends when nothing is in flight, or in time."""

    def __init__(self, config: uvicorn.Config, endpoint: Endpoint, drain_seconds: float = DRAIN_SECONDS) -> None:
        super().__init__(config)
        self._endpoint = endpoint
        self._drain_seconds = drain_seconds
        self._until = float("inf")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal drains, a second one ends the server now."""
        if self._endpoint.draining:
            super().handle_exit(sig, frame)
            return
        self._until = monotonic() + self._drain_seconds
        self._endpoint.drain()

    async def on_tick(self, counter: int) -> bool:
        """Whether to end; asked ten times a second."""
        drained = self._endpoint.draining and (not self._endpoint.in_flight or monotonic() > self._until)
        return await super().on_tick(counter) or drained


def serve(load: Callable[[], ASGIApp], host: str, port: int, drain_seconds: float = DRAIN_SECONDS) -> int:
    """Listen, then load, then answer until a signal comes; returns the exit status of the process."""
    endpoint = Endpoint()
    config = uvicorn.Config(
        endpoint, host=host, port=port, log_config=None, lifespan="off", timeout_graceful_shutdown=CLOSE_SECONDS
    )
    server = DrainingServer(config, endpoint, drain_seconds)
    failures: list[BaseException] = []

    def open_endpoint() -> None:
        try:
            endpoint.open(load())
        except BaseException as error:
            failures.append(error)
            server.should_exit = True

    Thread(target=open_endpoint, name="loading", daemon=True).start()
    server.run()
    if failures:
        known = isinstance(failures[0], HundredfoldError)
        logger.error("nothing is served: %s", failures[0], exc_info=None if known else failures[0])
        return 2
    if endpoint.in_flight:
        logger.error("stopped with %d requests unanswered", endpoint.in_flight)
        # Threads that still answer them would be waited for, beyond the time that there is.
        sys.stderr.flush()
        os._exit(1)
    return 0
