"""A device's memory for requests that have a decoder of their own: lent, and kept for the next of the same size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Lock

from layers.generation import Generation
from layers.runtime.device import Device
from layers.runtime.generation.decoder import Decoder, Ids
from layers.runtime.generation.device_rows import DeviceDecoder, DeviceRows, rows_for

MOST_IDLE = 8


class LentRows:
    """Makes `DeviceRows` where none of the size lies idle. Safe between threads; each borrower has its own."""

    def __init__(self, decoder: Device, encoder: Device | None, generation: Generation) -> None:
        self._decoder, self._encoder = decoder, encoder
        self._generation = generation
        self._idle: list[DeviceRows] = []
        self._lock = Lock()

    @contextmanager
    def lend(self, rows: int, tokens: int, sources: Sequence[Ids] | None) -> Iterator[Decoder]:
        """A decoder of so many rows of so many tokens, while the context lasts; `sources` are what encoders read."""
        longest = max(map(len, sources)) if sources else 0
        wanted = rows_for(self._generation, rows=rows, tokens=tokens, sources=longest)
        with self._lock:
            memory = next((idle for idle in self._idle if idle.size == wanted), None)
            if memory is not None:
                self._idle.remove(memory)
        if memory is None:
            memory = DeviceRows(self._decoder, self._encoder, self._generation, wanted)
        try:
            yield DeviceDecoder(memory, sources)
        finally:
            with self._lock:
                self._idle.insert(0, memory)
                dropped = self._idle[MOST_IDLE:]
                del self._idle[MOST_IDLE:]
            for each in dropped:
                each.release()
