"""Runs that come when they like, computed together: a gathering without an appointment.

One thread does the work, turn by turn. A turn takes what has waited longest, up to a budget of tokens, so length never
lets one overtake another. What is longer than a turn is done in parts, and goes behind the others after each: nobody
waits for all of a long request, and every request moves on whenever its turn comes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Condition, Thread
from time import monotonic
from typing import Any

from layers.errors import InputError
from layers.runtime.run_thread import stay
from layers.runtime.together import Demand, carry_out


@dataclass(slots=True, eq=False)
class Waiting:
    """A demand of which so many items are done or being done."""

    demand: Demand
    since: float
    begun: int = 0
    results: list[Any] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def tokens(self) -> int:
        """Of the items that are left."""
        return sum(map(len, self.demand.items[self.begun :]))

    @property
    def whole(self) -> bool:
        """Whether nothing is left to begin."""
        return self.begun == len(self.demand.items)

    def part(self, budget: int) -> Demand:
        """The next items, of at most `budget` tokens or a single one."""
        items, end, tokens = self.demand.items, self.begun, 0
        while end < len(items) and (end == self.begun or tokens + len(items[end]) <= budget):
            tokens += len(items[end])
            end += 1
        part = Demand(self.demand.kind, items[self.begun : end], self.demand.do)
        self.begun = end
        return part


class Batcher:
    """Joins the demands of runs. Safe between threads; its own thread ends with the process.

    A turn begins when `turn_tokens` are waiting, when nobody else is known to be coming, or when the oldest has waited
    `wait_seconds` or as long as the last turn took. More than `max_waiting` demands are refused.
    """

    def __init__(self, *, turn_tokens: int, wait_seconds: float, max_waiting: int) -> None:
        self._turn_tokens = turn_tokens
        self._wait_seconds = wait_seconds
        self._max_waiting = max_waiting
        self._queue: deque[Waiting] = deque()
        self._coming = 0
        # Company saves at most a turn, so a turn is the most that is worth waiting; none is known at first.
        self._turn_seconds = wait_seconds
        self._changed = Condition()
        self._thread: Thread | None = None

    def __len__(self) -> int:
        """Demands that wait for their turn."""
        return len(self._queue)

    @contextmanager
    def attended(self) -> Iterator[Attendance]:
        """For a run that is about to ask: until it does, or the context ends, others may wait for it a moment."""
        attendance = Attendance(self)
        self.count_coming(1)
        try:
            yield attendance
        finally:
            attendance.arrived()

    def ask(self, demand: Demand, *, arriving: bool = False) -> tuple[list[Any], float]:
        """As `Gathering.ask`; `arriving` is true for a run that was counted as coming.

        Raises InputError (429) when too many wait.
        """
        with self._changed:
            self._coming -= arriving
            if len(self._queue) >= self._max_waiting:
                raise InputError(
                    f"the model is busy: got a request beside {len(self._queue)} that wait, which is the most. "
                    "Try again later.",
                    status=429,
                    error_type="overloaded",
                )
            self._queue.append(Waiting(demand, monotonic()))
            if self._thread is None:
                self._thread = Thread(target=self._work, name="batching", daemon=True)
                self._thread.start()
            self._wake()
        return demand.done.result()

    def count_coming(self, change: int) -> None:
        """So many more runs, or fewer, are about to ask."""
        with self._changed:
            self._coming += change
            self._wake()

    def _wake(self) -> None:
        """When there is something to begin, or a deadline to set: each time costs the thread that asks a turn."""
        if len(self._queue) == 1 or self._ready():
            self._changed.notify_all()

    def _work(self) -> None:
        stay()
        while True:
            turn = self._next_turn()
            began = monotonic()
            carry_out([part for _, part in turn])
            self._turn_seconds = monotonic() - began
            for waiting, part in turn:
                self._settle(waiting, part.done)

    def _next_turn(self) -> list[tuple[Waiting, Demand]]:
        with self._changed:
            while not self._ready():
                self._changed.wait(self._deadline - monotonic() if self._queue else None)
            # Only the first is cut: whoever does not fit behind it will be the first next time.
            kind, budget = self._queue[0].demand.kind, self._turn_tokens
            turn: list[tuple[Waiting, Demand]] = []
            for waiting in [waiting for waiting in self._queue if waiting.demand.kind == kind]:
                tokens = waiting.tokens
                if turn and tokens > budget:
                    break
                turn.append((waiting, waiting.part(budget)))
                budget -= tokens
                self._queue.remove(waiting)
            return turn

    @property
    def _deadline(self) -> float:
        """Until when the oldest waits for others."""
        return self._queue[0].since + min(self._wait_seconds, self._turn_seconds)

    def _ready(self) -> bool:
        if not self._queue:
            return False
        if self._coming <= 0 or self._deadline <= monotonic():
            return True
        return sum(waiting.tokens for waiting in self._queue) >= self._turn_tokens

    def _settle(self, waiting: Waiting, done: Future[tuple[list[Any], float]]) -> None:
        failure = done.exception()
        if failure is not None:
            waiting.demand.done.set_exception(failure)
            return
        results, seconds = done.result()
        waiting.results += results
        waiting.seconds += seconds
        if waiting.whole:
            waiting.demand.done.set_result((waiting.results, waiting.seconds))
            return
        with self._changed:
            self._queue.append(waiting)


class Attendance:
    """A gathering for one run, which knows whether the run is still to come."""

    def __init__(self, batcher: Batcher) -> None:
        self._batcher = batcher
        self._coming = True

    def ask(self, demand: Demand) -> tuple[list[Any], float]:
        """As `Batcher.ask`."""
        arriving, self._coming = self._coming, False
        return self._batcher.ask(demand, arriving=arriving)

    def arrived(self) -> None:
        """Nobody need wait for this run any more."""
        if self._coming:
            self._coming = False
            self._batcher.count_coming(-1)
