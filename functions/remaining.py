"""How much time a function has left, and how much work fits in it, by what was measured so far."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from time import perf_counter
from typing import Any

# Of the time left, this share is planned with: estimates err.
TRUSTED_SHARE = 0.75
# Before anything was measured, so much is tried.
FIRST_COUNT = 8
# What a slow spell did to the estimate wears off by this factor with each measurement.
FORGETTING = 0.8


class RemainingTime:
    """Seconds until Lambda kills the function, less what is kept for answering; without a context there is no end."""

    def __init__(self, context: Any, spare_seconds: float) -> None:
        self._milliseconds: Callable[[], int] | None = getattr(context, "get_remaining_time_in_millis", None)
        self._spare_seconds = spare_seconds

    def seconds(self) -> float:
        """May be negative."""
        return self.until_killed() - self._spare_seconds

    def until_killed(self) -> float:
        """Nothing kept."""
        return inf if self._milliseconds is None else self._milliseconds() / 1000


class Pace:
    """Seconds that a unit of work takes, learned while working; kept between invocations."""

    def __init__(self) -> None:
        self._seconds_per_unit: float | None = None

    def learn(self, units: float, started: float) -> None:
        """So much work was done since `started`, a `perf_counter` reading. Slower counts at once, faster by and by."""
        measured = (perf_counter() - started) / max(1.0, units)
        remembered = self._seconds_per_unit
        self._seconds_per_unit = measured if remembered is None else max(measured, FORGETTING * remembered)

    def count_within(self, units: Sequence[float], seconds: float) -> int:
        """How many of the first pieces of work can be done in so many seconds."""
        if seconds <= 0:
            return 0
        if self._seconds_per_unit is None:
            return min(FIRST_COUNT, len(units))
        room = TRUSTED_SHARE * seconds / self._seconds_per_unit
        for count, piece in enumerate(units):
            room -= piece
            if room < 0:
                return count
        return len(units)


def work_units(body_bytes: int, parameters: Any) -> float:
    """A measure of a record's work that is known before it is done: bytes, and tokens that are asked for."""
    asked = parameters.get("max_new_tokens") if isinstance(parameters, dict) else None
    # A byte of text is about a quarter of a token to read; a token to write costs far more than one to read.
    return 256 + body_bytes + (64 * asked if isinstance(asked, int) and asked > 0 else 0)
