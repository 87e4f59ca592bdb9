"""Whether and where texts of different requests are written together."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from layers.generation import Generation
from layers.runtime.device import Device
from layers.runtime.generation.decoder import Ids
from layers.runtime.generation.detokenizer import Detokenizer
from layers.runtime.generation.placed_rows import PlacedMemory, placed_size
from layers.runtime.generation.scheduler import Rows, Scheduler
from layers.runtime.generation.slots import SlotPool


def joining(
    generation: Generation,
    pool: SlotPool,
    detokenizer: Detokenizer,
    lend_slot: Callable[[int, Ids], AbstractContextManager[Rows]],
    devices: tuple[Device, Device | None] | None,
    *,
    rows: int,
    tokens: int,
) -> Scheduler | None:
    """For at most so many rows, of texts of at most so many tokens; None where every request has its own decoder.

    On a processor, rows of an encoder-decoder are not joined: its sources have buffers of their own length.
    """
    if rows and devices is not None:
        size = placed_size(generation, pool, rows, tokens)
        if size is None:
            return None
        memory = PlacedMemory(*devices, generation, pool, size)
        return Scheduler(memory.lend, detokenizer, max_rows=size.rows, wait_seconds=pool.wait_seconds)
    if not rows or generation.kind == "encoder-decoder":
        return None
    return Scheduler(lend_slot, detokenizer, max_rows=rows, wait_seconds=pool.wait_seconds)
