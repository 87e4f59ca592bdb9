"""Memory for keys and values: allocated once, lent to one request at a time, bounded in bytes."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from threading import Condition
from time import monotonic

import numpy as np
import numpy.typing as npt

from layers.errors import InputError
from layers.generation import CacheLayout
from layers.runtime.generation.decoder import Ids

Buffer = npt.NDArray[np.float32]

FIRST_CAPACITY = 256
NO_TOKENS: Ids = np.zeros(0, dtype=np.int64)


def capacity_for(tokens: int, max_tokens: int) -> int:
    """The step of 256, 512, 1024, ... that holds so many tokens, at most `max_tokens`."""
    capacity = FIRST_CAPACITY
    while capacity < tokens:
        capacity *= 2
    return min(capacity, max_tokens)


def bytes_per_token(layout: CacheLayout) -> int:
    """What the keys and values of one token of one row take."""
    return 2 * layout.layers * layout.kv_heads * layout.head_dim * 4


def common_prefix(one: Ids, other: Ids) -> int:
    """How many tokens two sequences begin with alike."""
    length = min(len(one), len(other))
    differing = np.flatnonzero(one[:length] != other[:length])
    return int(differing[0]) if len(differing) else length


class Slot:
    """The buffers of one request: `views` are key and value of each layer, [rows, kv_heads, capacity, head_dim].

    `tokens` are those whose keys and values row 0 holds. Between requests everything stays as it is.
    """

    def __init__(self, layout: CacheLayout) -> None:
        self._layout = layout
        self._memory: list[Buffer] = []
        self.rows = 0
        self.capacity = 0
        self.views: list[Buffer] = []
        self.tokens: Ids = NO_TOKENS
        self.allocations = 0

    @property
    def bytes(self) -> int:
        """What is allocated."""
        return sum(buffer.nbytes for buffer in self._memory)

    def shape(self, rows: int, capacity: int, kept: Sequence[int] = ()) -> None:
        """Make room for so many rows and at least so many tokens in each; row i keeps its first `kept[i]` tokens.

        Memory is allocated, and what is kept copied, only when what is there cannot hold it.
        """
        unit = self._layout.kv_heads * self._layout.head_dim
        size = self._memory[0].size if self._memory else 0
        if capacity <= self.capacity and rows * self.capacity * unit <= size:
            if rows != self.rows:
                self._view(rows, self.capacity)
            return
        if not any(kept) and rows * capacity * unit <= size:
            self._view(rows, capacity)
            return
        before = self.views
        self._memory = [np.empty(rows * capacity * unit, dtype=np.float32) for _ in range(2 * self._layout.layers)]
        self.allocations += 1
        self._view(rows, capacity)
        for old, new in zip(before, self.views, strict=False):
            for row, length in enumerate(kept):
                new[row, :, :length] = old[row, :, :length]

    def forget(self) -> None:
        """Give the memory back to the system."""
        self._memory, self.views, self.rows, self.capacity, self.tokens = [], [], 0, 0, NO_TOKENS

    def _view(self, rows: int, capacity: int) -> None:
        shape = (rows, self._layout.kv_heads, capacity, self._layout.head_dim)
        size = rows * capacity * self._layout.kv_heads * self._layout.head_dim
        self.views = [buffer[:size].reshape(shape) for buffer in self._memory]
        self.rows, self.capacity = rows, capacity


class SlotPool:
    """Lends slots: at most `max_slots` at a time, their memory together at most `budget_bytes`.

    `wait_seconds` is how long a request waits for one. Nobody goes before a request that has waited for
    `patience_seconds`, half of that where nothing is said: who needs much would never have it beside many of little.
    """

    def __init__(
        self,
        layout: CacheLayout,
        *,
        max_tokens: int,
        budget_bytes: int,
        max_slots: int,
        wait_seconds: float,
        patience_seconds: float | None = None,
    ) -> None:
        self._layout = layout
        self._max_tokens = max_tokens
        self._budget = budget_bytes
        self._max_slots = max_slots
        self.wait_seconds = wait_seconds
        self._patience = wait_seconds / 2 if patience_seconds is None else patience_seconds
        self._waiting: list[float] = []
        self._idle: list[Slot] = []
        self._running: dict[int, int] = {}
        self._changed = Condition()

    def needed(self, rows: int, tokens: int) -> int:
        """Bytes of a request whose rows grow to so many tokens."""
        return rows * capacity_for(tokens, self._max_tokens) * bytes_per_token(self._layout)

    def rows_within_budget(self, tokens: int) -> int:
        """How many rows of so many tokens one request can have."""
        return self._budget // self.needed(1, tokens)

    def tokens_within_share(self, rows: int) -> int:
        """How many tokens so many rows of a request can have while every slot has as many."""
        tokens = FIRST_CAPACITY
        while tokens < self._max_tokens and self.needed(rows * self._max_slots, 2 * tokens) <= self._budget:
            tokens *= 2
        return min(tokens, self._max_tokens)

    def admit(self, rows: int, tokens: int) -> None:
        """Raises InputError (422) for a request that would not fit if it were alone."""
        needed = self.needed(rows, tokens)
        if needed > self._budget:
            raise InputError(
                f"the request needs too much memory for keys and values: got {rows} x {tokens} tokens = {needed:,} "
                f"bytes, expected at most {self._budget:,}. Shorten the prompt, or lower max_new_tokens or num_beams."
            )

    def acquire(self, rows: int, tokens: int, prompt: Ids = NO_TOKENS) -> Slot:
        """A slot for the request; of those idle the one that already holds most of `prompt`.

        Waits while others run. Raises InputError: 422 as `admit`, 429 when the wait is over.
        """
        self.admit(rows, tokens)
        needed = self.needed(rows, tokens)
        with self._changed:
            self._wait_for(needed)
            slot = max(self._idle, key=lambda idle: common_prefix(idle.tokens, prompt), default=None)
            if slot is None:
                slot = Slot(self._layout)
            else:
                self._idle.remove(slot)
            if slot.bytes > needed and sum(self._running.values()) + slot.bytes > self._budget:
                slot.forget()
            self._running[id(slot)] = max(needed, slot.bytes)
            # Memory of idle slots counts too; the longest unused goes first.
            while self._idle and sum(self._running.values()) + self._idle_bytes() > self._budget:
                self._idle.pop(0)
            return slot

    def is_pressed(self, since: float = inf) -> bool:
        """Whether somebody has waited so long that nobody may go before, of those who came before `since`."""
        now = monotonic()
        with self._changed:
            return any(came < since and now - came >= self._patience for came in self._waiting)

    def _wait_for(self, needed: int) -> None:
        came = monotonic()
        self._waiting.append(came)
        try:
            while (
                len(self._running) >= self._max_slots
                or sum(self._running.values()) + needed > self._budget
                or self.is_pressed(came)
            ):
                if not self._changed.wait(max(0.0, came + self.wait_seconds - monotonic())):
                    raise InputError(
                        f"the model is busy: got no room within {self.wait_seconds:g} s beside {len(self._running)} "
                        "running requests. Try again later.",
                        status=429,
                        error_type="overloaded",
                    )
        finally:
            self._waiting.remove(came)
            self._changed.notify_all()

    def resize(self, slot: Slot, rows: int, tokens: int) -> bool:
        """Let a lent slot become one of so many rows of so many tokens; false while others need the memory."""
        wanted = max(self.needed(rows, tokens), slot.bytes)
        with self._changed:
            others = sum(self._running.values()) - self._running[id(slot)]
            if others + wanted > self._budget:
                return False
            self._running[id(slot)] = wanted
            while self._idle and others + wanted + self._idle_bytes() > self._budget:
                self._idle.pop(0)
            self._changed.notify_all()
            return True

    def release(self, slot: Slot) -> None:
        """Take a slot back with what it holds."""
        with self._changed:
            del self._running[id(slot)]
            self._idle.append(slot)
            self._changed.notify_all()

    def held_bytes(self) -> int:
        """What idle slots hold and running ones may take."""
        with self._changed:
            return self._idle_bytes() + sum(self._running.values())

    def _idle_bytes(self) -> int:
        return sum(slot.bytes for slot in self._idle)
