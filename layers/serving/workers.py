"""Where requests are answered: in line on the event loop, or on so many threads beside it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from threading import Event
from typing import Protocol, TypeVar

Result = TypeVar("Result")


class Workers(Protocol):
    """Runs work that blocks. What the work raises is raised here."""

    async def run(self, work: Callable[[], Result]) -> Result:
        """Do it and give its result."""

    def stream(self, start: Callable[[], Generator[Result]]) -> AsyncGenerator[Result]:
        """What `start()` yields, as it comes. Closing the stream closes the generator before its next item."""


class InLine:
    """On the event loop, one at a time: handing a request to a thread takes longer than all else that the server does
    for it (0.26 ms a round trip instead of 0.11), and a Lambda environment has one request at a time.
    """

    def __init__(self) -> None:
        # A stream gives way to other requests between its items. One that waited for the stream's memory would stop it.
        self._turn = asyncio.Lock()

    async def run(self, work: Callable[[], Result]) -> Result:
        """Do it and give its result."""
        async with self._turn:
            return work()

    async def stream(self, start: Callable[[], Generator[Result]]) -> AsyncGenerator[Result]:
        """What `start()` yields, as it comes."""
        async with self._turn:
            with closing(start()) as items:
                for item in items:
                    yield item
                    # The loop learns here that the client has gone.
                    await asyncio.sleep(0)


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a stream, and what ended it early."""

    error: BaseException | None = None


class Threads:
    """On so many threads. A request has a thread to itself until it is answered; others wait for one."""

    def __init__(self, count: int) -> None:
        self._executor = ThreadPoolExecutor(count, thread_name_prefix="answering")

    async def run(self, work: Callable[[], Result]) -> Result:
        """Do it and give its result."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    async def stream(self, start: Callable[[], Generator[Result]]) -> AsyncGenerator[Result]:
        """What `start()` yields, as it comes; a slow reader does not hold the thread."""
        loop = asyncio.get_running_loop()
        items: asyncio.Queue[Result | Ended] = asyncio.Queue()
        closed = Event()

        def tell(item: Result | Ended) -> None:
            try:
                loop.call_soon_threadsafe(items.put_nowait, item)
            except RuntimeError:  # the server has stopped, and its loop with it
                closed.set()

        def produce() -> None:
            error: BaseException | None = None
            try:
                with closing(start()) as produced:
                    for item in produced:
                        tell(item)
                        if closed.is_set():
                            break
            except BaseException as raised:  # it belongs to the request, not to the thread
                error = raised
            tell(Ended(error))

        work = self._executor.submit(produce)
        try:
            while not isinstance(item := await items.get(), Ended):
                yield item
            if item.error is not None:
                raise item.error
        finally:
            closed.set()
            work.cancel()


def workers_for(count: int) -> Workers:
    """So many threads; none for 0."""
    return Threads(count) if count else InLine()
