"""Which thread runs a card's graphs.

onnxruntime keeps what it has captured of a graph by thread, and capturing takes longer than fifty replays. So a session
runs on few threads: the one that ran it first, those that say that they stay, and one that works for all others.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock, get_ident, local
from typing import TypeVar

Result = TypeVar("Result")

_here = local()


def stay() -> None:
    """Say that this thread goes on running graphs: its runs stay on it, which saves a change of threads a run."""
    _here.stays = True


class RunThread:
    """Runs for callers on any thread. Safe between threads; its own ends with the process."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._first: int | None = None
        self._others: ThreadPoolExecutor | None = None

    def run(self, work: Callable[[], Result]) -> Result:
        """The result of `work`; raises what it raises."""
        if getattr(_here, "stays", False):
            return work()
        with self._lock:
            if self._first is None:
                self._first = get_ident()
            if self._first != get_ident() and self._others is None:
                self._others = ThreadPoolExecutor(1, thread_name_prefix="running")
        if self._first == get_ident() or self._others is None:
            return work()
        return self._others.submit(work).result()
