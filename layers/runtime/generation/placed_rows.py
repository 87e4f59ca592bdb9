"""Rows at one place in memory, joined: a card's, or a processor's in its manner. Their number and size are fixed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from layers.generation import Generation
from layers.runtime.bucketed import WIDTHS, bucket
from layers.runtime.device import Device
from layers.runtime.generation.decoder import Ids
from layers.runtime.generation.device_rows import DeviceRows, RowsSize, Scores
from layers.runtime.generation.slots import SlotPool, capacity_for


class PlacedRows:
    """`Rows` over `DeviceRows`, in which every row has room for the longest text there can be."""

    def __init__(self, rows: DeviceRows) -> None:
        self._rows = rows

    def admits(self, row: int, tokens: int) -> bool:
        """As `Rows.admits`."""
        return row < self._rows.size.rows and tokens <= self._rows.size.capacity

    def begin(self, row: int, prompt: Ids, source: Ids | None) -> Scores:
        """As `Rows.begin`."""
        return self._rows.begin(row, prompt, source)

    def advance(self, tokens: Mapping[int, int]) -> Scores:
        """As `Rows.advance`."""
        return self._rows.advance(tokens)

    def end(self, row: int) -> None:
        """As `Rows.end`: the next text writes over it."""


def placed_size(generation: Generation, pool: SlotPool, max_rows: int, max_tokens: int) -> RowsSize | None:
    """As many rows as half the pool's memory has room for, of texts as long as they can be; None for fewer than two.

    The other half is left to requests that have a decoder of their own.
    """
    rows = min(max_rows, pool.rows_within_budget(max_tokens) // 2)
    sources = bucket(generation.source_max_tokens, WIDTHS) if generation.source_max_tokens else 0
    return RowsSize(rows, capacity_for(max_tokens, generation.max_tokens), sources) if rows > 1 else None


class PlacedMemory:
    """Lends the same rows again and again, with what was recorded for them; made when they are first wanted."""

    def __init__(
        self, decoder: Device, encoder: Device | None, generation: Generation, pool: SlotPool, size: RowsSize
    ) -> None:
        self._decoder, self._encoder = decoder, encoder
        self._generation = generation
        self._pool = pool
        self._size = size
        self._rows: DeviceRows | None = None

    @contextmanager
    def lend(self, tokens: int, prompt: Ids) -> Iterator[PlacedRows]:  # noqa: ARG002
        """The rows while the context lasts. Raises InputError as `SlotPool.acquire`."""
        slot = self._pool.acquire(self._size.rows, self._size.capacity)
        try:
            if self._rows is None:
                self._rows = DeviceRows(self._decoder, self._encoder, self._generation, self._size)
            yield PlacedRows(self._rows)
        finally:
            self._pool.release(slot)
