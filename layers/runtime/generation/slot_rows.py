"""Rows of a processor's decoder in one slot: they begin, advance together and end, each when it likes.

A row is computed where it lies, in the slot's own buffers, so nothing is copied when others come or go. Memory grows to
the last row in use and to the longest, and only then is anything moved.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import onnxruntime

from layers.generation import Generation
from layers.runtime.generation.bound_runs import BoundRun
from layers.runtime.generation.decoder import Ids, Logits
from layers.runtime.generation.graph_decoder import PREFILL_TOKENS
from layers.runtime.generation.prefix_cache import PrefixCache
from layers.runtime.generation.slots import NO_TOKENS, Slot, SlotPool, capacity_for


class RunScores:
    """Logits of a run by row; `first` is the slot's row that the run's first one is."""

    def __init__(self, run: BoundRun, first: int, rows: Iterable[int]) -> None:
        self._run = run
        self._first = first
        self._rows = rows

    def logits(self, row: int) -> Logits:
        """As `RowScores.logits`."""
        scores: Logits = self._run.logits[row - self._first, 0]
        return scores

    def likeliest(self) -> dict[int, tuple[int, float]]:
        """As `RowScores.likeliest`."""
        tokens = {row: int(self.logits(row).argmax()) for row in self._rows}
        return {row: (token, float(self.logits(row)[token])) for row, token in tokens.items()}


class SlotRows:
    """`Rows` for variants whose rows are independent. Prompts are reused between texts where `prefixes` are kept."""

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        generation: Generation,
        pool: SlotPool,
        slot: Slot,
        prefixes: PrefixCache | None,
    ) -> None:
        self._session = session
        self._generation = generation
        self._pool = pool
        self._slot = slot
        self._prefixes = prefixes
        self._admitted: dict[int, int] = {}
        self._held: dict[int, list[int]] = {}
        self._has_begun = False
        self._step: BoundRun | None = None
        self._step_shape = (0, 0, 0)
        if prefixes is not None:
            prefixes.keep(slot.tokens, slot.views)
        slot.tokens = NO_TOKENS

    def admits(self, row: int, tokens: int) -> bool:
        """As `Rows.admits`; not while somebody else has waited too long for the memory that these rows have."""
        # The first text is what the slot was waited for.
        if self._has_begun and self._pool.is_pressed():
            return False
        admitted = {**self._admitted, row: tokens}
        if not self._pool.resize(self._slot, max(admitted) + 1, max(admitted.values())):
            return False
        self._admitted, self._has_begun = admitted, True
        return True

    def begin(self, row: int, prompt: Ids, source: Ids | None = None) -> RunScores:
        """As `Rows.begin`, of a model that has no sources: in parts, and from what earlier texts left of the prompt."""
        assert source is None, "rows of an encoder-decoder have buffers for sources"
        self._held[row] = []
        self._make_room(len(prompt))
        past = self._take_stored(row, prompt)
        for start in range(past, len(prompt), PREFILL_TOKENS):
            part = prompt[start : start + PREFILL_TOKENS]
            run = self._bound(row, 1, len(part))
            run.input_ids[0] = part
            run.positions[0] = len(part) - 1
            run([start + len(part)], start + len(part))
        self._held[row] = prompt.tolist()
        return RunScores(run, row, [row])

    def advance(self, tokens: Mapping[int, int]) -> RunScores:
        """As `Rows.advance`."""
        self._make_room(1 + max(len(self._held[row]) for row in tokens))
        for row, token in tokens.items():
            self._held[row].append(token)
        run = self._step_run()
        # A row that nobody has writes where the next one begins, and nobody reads its answer.
        rows = range(len(run.input_ids))
        lengths = [len(self._held[row]) if row in self._held else 1 for row in rows]
        run.input_ids[:, 0] = [tokens.get(row, 0) for row in rows]
        run(lengths, max(lengths))
        return RunScores(run, 0, tokens)

    def end(self, row: int) -> None:
        """As `Rows.end`."""
        if self._prefixes is not None:
            own = [view[row : row + 1] for view in self._slot.views]
            self._prefixes.keep(np.array(self._held[row], dtype=np.int64), own)
        del self._held[row], self._admitted[row]

    def _make_room(self, tokens: int) -> None:
        """For the rows in use: what they hold, and so many tokens in one of them."""
        rows = max(self._held) + 1
        kept = [len(self._held.get(row, [])) for row in range(rows)]
        longest = capacity_for(max(tokens, *kept, 1), self._generation.max_tokens)
        self._slot.shape(rows, longest, kept=kept[: self._slot.rows])

    def _bound(self, first: int, rows: int, width: int) -> BoundRun:
        """Runs of `width` new tokens in so many rows from `first` on; logits of one position."""
        views = [view[first : first + rows] for view in self._slot.views]
        logits = np.empty((rows, 1, self._generation.vocabulary), dtype=np.float32)
        return BoundRun(self._session, self._generation, views, width, logits)

    def _step_run(self) -> BoundRun:
        shape = (self._slot.rows, self._slot.capacity, self._slot.allocations)
        if self._step is None or self._step_shape != shape:
            self._step = self._bound(0, self._slot.rows, 1)
            self._step_shape = shape
        return self._step

    def _take_stored(self, row: int, prompt: Ids) -> int:
        """Copy what is stored of the prompt's beginning; how many tokens are there then."""
        if self._prefixes is None:
            return 0
        past = 0
        for block in self._prefixes.find(prompt, 0):
            size = block.shape[2]
            for view, part in zip(self._slot.views, block, strict=True):
                view[row, :, past : past + size] = part
            past += size
        past = min(past, len(prompt) - 1)
        self._prefixes.record(past, len(prompt) - past)
        return past


@contextmanager
def lend_rows(
    session: onnxruntime.InferenceSession,
    generation: Generation,
    pool: SlotPool,
    prefixes: PrefixCache | None,
    tokens: int,
    prompt: Ids,
) -> Iterator[SlotRows]:
    """Rows in a slot of the pool while the context lasts; the first has room for so many tokens.

    Raises InputError as `SlotPool.acquire`.
    """
    slot = pool.acquire(1, tokens, prompt)
    try:
        yield SlotRows(session, generation, pool, slot, prefixes)
    finally:
        pool.release(slot)
