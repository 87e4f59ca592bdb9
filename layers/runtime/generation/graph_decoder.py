"""The decoder's graph over one slot: prompts in parts, then a token a row, or several tokens of one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import onnxruntime

from layers.generation import Generation
from layers.runtime.generation.bound_runs import BoundRuns
from layers.runtime.generation.decoder import Ids, Logits
from layers.runtime.generation.encoder import EncodedSources
from layers.runtime.generation.prefix_cache import PrefixCache
from layers.runtime.generation.slots import NO_TOKENS, Slot, capacity_for, common_prefix

# Attention over a long prompt takes heads x new x all floats at once; in parts of 512 a prompt of 4,096 tokens and 32
# heads needs 268 MB instead of 2.1 GB, and the products are large enough to lose nothing.
PREFILL_TOKENS = 512
# Logits of that many positions at a time are held while a prompt is scored.
SCORED_TOKENS = 64


class GraphDecoder:
    """A `Decoder` over onnxruntime, for sequences of at most `generation.max_tokens`.

    `divisible` says that a token's keys and values do not depend on which others are computed with it: only then are
    prompts computed in parts, and `prefixes` given. Rows that branched from one prompt share its part of the cache by
    content, so a reordering copies what follows it; and of that only rows that are not continued in place.
    """

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        generation: Generation,
        slot: Slot,
        *,
        divisible: bool,
        prefixes: PrefixCache | None = None,
        sources: EncodedSources | None = None,
    ) -> None:
        self._runs = BoundRuns(session, generation, slot, sources)
        self._generation = generation
        self._slot = slot
        self._divisible = divisible
        self._prefixes = prefixes
        self._sources = sources
        self._lengths = np.zeros(0, dtype=np.int32)
        self._rows = 0
        self._longest = 0
        # Logical row i stands in physical row places[i]; None while they are the same.
        self._places: npt.NDArray[np.int64] | None = None
        # Rows of equal origin have all of one prompt.
        self._origins: list[int] = []
        self._prompt = NO_TOKENS
        self._fed: list[int] = []
        self._prefilled = self._branched = False

    def prefill(self, prompts: Sequence[Ids]) -> Logits:
        """As `Decoder.prefill`: one prompt in parts and from what the caches hold of it, several in one padded run."""
        self._origins = list(range(len(prompts)))
        self._rows = len(prompts)
        if len(prompts) == 1:
            [self._prompt] = prompts
            logits = self._prefill_one(self._prompt)
        else:
            logits = self._prefill_many(prompts)
        self._prefilled = True
        return logits

    def step(self, tokens: Sequence[int]) -> Logits:
        """As `Decoder.step`."""
        if self._longest >= self._slot.capacity:
            self._grow(self._longest + 1)
        run = self._runs.of(self._rows, 1)
        if self._places is None:
            run.input_ids[:, 0] = tokens
        else:
            run.input_ids[self._places, 0] = tokens
        self._lengths += 1
        self._longest += 1
        logits = run(self._lengths, self._longest)[:, 0]
        if self._rows == 1:
            self._fed.append(tokens[0])
        return logits if self._places is None else logits[self._places]

    def step_ahead(self, tokens: Sequence[int]) -> Logits:
        """As `AheadDecoder.step_ahead`; only where the model is divisible."""
        if self._longest + len(tokens) > self._slot.capacity:
            self._grow(self._longest + len(tokens))
        places = np.arange(len(tokens), dtype=np.int64)
        logits = self._compute(np.array(tokens, dtype=np.int64), self._longest, places)
        self._fed.extend(tokens)
        return logits.reshape(len(tokens), -1)

    def take_back(self, count: int) -> None:
        """As `AheadDecoder.take_back`: what is there of them is overwritten by those that come instead."""
        self._longest -= count
        self._lengths[0] = self._longest
        del self._fed[len(self._fed) - count :]

    def reorder(self, rows: Sequence[int]) -> None:
        """As `Decoder.reorder`: a row stays where it is if it can, so only branches and gaps are filled by copies."""
        now = list(range(self._rows)) if self._places is None else self._places.tolist()
        parents = [now[row] for row in rows]
        count = len(parents)
        capacity = capacity_for(self._longest + 1, self._generation.max_tokens)
        if count > self._rows:
            self._slot.shape(count, capacity, kept=[int(length) for length in self._lengths])
        staying = {parent for parent in parents if parent < count}
        free = [place for place in range(count) if place not in staying]
        places: list[int] = []
        lengths_before, origins_before = self._lengths.copy(), self._origins
        origins = [origins_before[place] if place < self._rows else -1 for place in range(count)]
        lengths = np.zeros(count, dtype=np.int32)
        lengths[: min(count, self._rows)] = lengths_before[: min(count, self._rows)]
        if self._sources is not None and count > self._sources.rows:
            self._sources.widen(count)
        for parent in parents:
            if parent in staying:
                staying.remove(parent)
                places.append(parent)
                continue
            place = free.pop()
            places.append(place)
            self._copy_row(parent, place, origins[place] == origins_before[parent])
            origins[place], lengths[place] = origins_before[parent], lengths_before[parent]
        if count != self._rows:
            self._slot.shape(count, capacity, kept=lengths.tolist())
            self._branched = True
        self._origins, self._rows = origins, count
        self._lengths = lengths
        self._longest = int(lengths.max())
        self._places = None if places == list(range(count)) else np.array(places, dtype=np.int64)

    def score(self, prompt: Ids) -> npt.NDArray[np.float32]:
        """As `Decoder.score`; computes all of the prompt, reusing nothing."""
        self._begin(len(prompt))
        scores = np.empty(max(0, len(prompt) - 1), dtype=np.float32)
        part = SCORED_TOKENS if self._divisible else len(prompt)
        for start in range(0, len(prompt), part):
            end = min(start + part, len(prompt))
            logits = self._compute(prompt[start:end], start, np.arange(end - start, dtype=np.int64))
            following = prompt[start + 1 : end + 1]
            rows = logits[0, : len(following)]
            highest = rows.max(axis=1)
            totals = highest + np.log(np.exp(rows - highest[:, None]).sum(axis=1))
            scores[start : start + len(following)] = rows[np.arange(len(following)), following] - totals
        self._slot.tokens = prompt
        return scores

    def release(self) -> None:
        """As `Decoder.release`: what row 0 of a single prompt holds stays in the slot for the next one."""
        if self._prefilled and len(self._prompt) and self._prefixes is not None:
            fed = NO_TOKENS if self._branched else np.array(self._fed, dtype=np.int64)
            self._slot.tokens = np.concatenate([self._prompt, fed])
        self._prefilled = False

    def _prefill_one(self, prompt: Ids) -> Logits:
        prefixes, past = self._prefixes, 0
        if prefixes is not None:
            past = common_prefix(self._slot.tokens, prompt)
        self._begin(len(prompt), kept=past)
        if prefixes is not None:
            past = self._take_stored(prefixes, prompt, past)
            past = min(past, len(prompt) - 1)
            prefixes.record(past, len(prompt) - past)
        part = PREFILL_TOKENS if self._divisible else len(prompt)
        logits = self._logits_of_nothing
        for start in range(past, len(prompt), part):
            end = min(start + part, len(prompt))
            logits = self._compute(prompt[start:end], start, np.array([end - start - 1], dtype=np.int64))
        return logits[:, 0]

    def _take_stored(self, prefixes: PrefixCache, prompt: Ids, past: int) -> int:
        """Copy stored blocks that continue the first `past` tokens; how many are there then."""
        for block in prefixes.find(prompt, past):
            size = block.shape[2]
            start = past // size * size
            for view, part in zip(self._slot.views, block, strict=True):
                view[0, :, start : start + size] = part
            past = start + size
        return past

    def _prefill_many(self, prompts: Sequence[Ids]) -> Logits:
        rows, width = len(prompts), max(len(prompt) for prompt in prompts)
        if self._prefixes is not None:
            self._prefixes.keep(self._slot.tokens, self._slot.views)
            for prompt in prompts:
                self._prefixes.record(0, len(prompt))
        self._slot.tokens = NO_TOKENS
        self._slot.shape(rows, capacity_for(width, self._generation.max_tokens))
        run = self._runs.of(rows, width)
        run.input_ids[:] = self._generation.pad_token_id or 0
        for row, prompt in enumerate(prompts):
            run.input_ids[row, : len(prompt)] = prompt
            run.positions[row, 0] = len(prompt) - 1
        self._lengths = np.array([len(prompt) for prompt in prompts], dtype=np.int32)
        self._longest = width
        return run(self._lengths, width)[:, 0]

    def _begin(self, tokens: int, kept: int = 0) -> None:
        """Shape the slot for one row of so many tokens, of which it keeps the first `kept`; store what is lost."""
        slot = self._slot
        if self._prefixes is not None and kept < len(slot.tokens):
            self._prefixes.keep(slot.tokens, slot.views, kept)
        slot.tokens = slot.tokens[:kept]
        self._rows = 1
        slot.shape(1, capacity_for(tokens, self._generation.max_tokens), kept=[kept])

    def _compute(self, tokens: Ids, past: int, positions: Ids) -> Logits:
        """Run tokens of the one row behind the `past` ones it holds; logits [1, positions, vocabulary]."""
        run = self._runs.of(1, len(tokens), len(positions))
        run.input_ids[0] = tokens
        run.positions[0] = positions
        self._longest = past + len(tokens)
        self._lengths = np.array([self._longest], dtype=np.int32)
        return run(self._lengths, self._longest)

    def _grow(self, tokens: int) -> None:
        capacity = capacity_for(tokens, self._generation.max_tokens)
        self._slot.shape(self._rows, capacity, kept=[int(length) for length in self._lengths])

    def _copy_row(self, source: int, target: int, same_origin: bool) -> None:
        start = len(self._prompt) if same_origin else 0
        end = int(self._lengths[source])
        for view in self._slot.views:
            view[target, :, start:end] = view[source, :, start:end]
        if self._sources is not None and not same_origin:
            self._sources.copy_row(source, target)

    @property
    def _logits_of_nothing(self) -> Logits:
        return np.empty((1, 1, self._generation.vocabulary), dtype=np.float32)
