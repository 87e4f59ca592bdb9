"""Sequences under way at one place in memory: rows that begin, advance together and end, each when it likes.

Keys and values of all rows lie in one buffer a layer, so that one run advances every row, and a prompt is computed
straight into the memory of its row. Nothing of a cache is copied between steps. Whoever serves several requests at once
gives each a row; a single request has the rows it branches into. Graphs for processors work the same way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from layers.generation import BEST, BEST_SCORE, EXACT_PROMPTS, LOGIT_POSITIONS, LOGIT_ROWS, POSITION_IDS, Generation
from layers.runtime.bucketed import ROWS, WIDTHS, bucket
from layers.runtime.device import Device, Recording, Tensor, raw_buffer, rows_of
from layers.runtime.generation.decoder import Ids, Logits
from layers.runtime.generation.encoder import cross_names
from layers.runtime.generation.slots import capacity_for

# A recording of a prompt is of one row and width. Those of long prompts, which gain least, are for so many rows.
RECORDED_LONG_PROMPTS = 4
SHORT_PROMPT_TOKENS = 128


class Scores:
    """What a run says of each row's next token; read from the device when asked for, and until the next run."""

    def __init__(self, recording: Recording, places: Mapping[int, int], *, chooses: bool) -> None:
        self._recording = recording
        self._places = places
        self._chooses = chooses
        self._logits: Logits | None = None

    def logits(self, row: int) -> Logits:
        """[vocabulary], the caller's to change."""
        if self._logits is None:
            self._logits = self._recording.answer("logits")
        scores: Logits = self._logits[self._places[row], -1]
        return scores

    def likeliest(self) -> dict[int, tuple[int, float]]:
        """The likeliest token of each row and its logit, without a row of logits where the graph has chosen."""
        if not self._chooses:
            tokens = {row: int(self.logits(row).argmax()) for row in self._places}
            return {row: (token, float(self.logits(row)[token])) for row, token in tokens.items()}
        best, score = self._recording.answer(BEST), self._recording.answer(BEST_SCORE)
        return {row: (int(best[place, -1]), float(score[place, -1])) for row, place in self._places.items()}


@dataclass(frozen=True)
class RowsSize:
    """`rows` sequences of at most `capacity` tokens; for an encoder-decoder, of `sources` source tokens each."""

    rows: int
    capacity: int
    sources: int = 0


class DeviceRows:
    """Memory of one size and the sequences in it. Not shared between threads."""

    def __init__(self, decoder: Device, encoder: Device | None, generation: Generation, size: RowsSize) -> None:
        self._decoder = decoder
        self._encoder = encoder
        self._generation = generation
        self.size = size
        rows, self.capacity, self._sources = size.rows, size.capacity, size.sources
        sources, capacity = self._sources, self.capacity
        layout = generation.cache
        names = [f"{layer}.{part}" for layer in range(layout.layers) for part in ("key", "value")]
        shape = (rows, layout.kv_heads, capacity, layout.head_dim)
        self._types = decoder.inputs
        self._caches = {name: self._buffer(f"past_key_values.{name}", shape) for name in names}
        cross = (rows, layout.cross_heads, sources, layout.cross_head_dim)
        self._cross = {name: self._buffer(name, cross) for name in cross_names(layout.layers)} if encoder else {}
        self._masks = np.zeros((rows, sources), np.int32)
        self.lengths = np.zeros(rows, np.int32)
        self._recordings: dict[tuple[object, ...], Recording] = {}
        self._flat = LOGIT_ROWS in decoder.inputs
        self._exact = EXACT_PROMPTS in decoder.session.get_modelmeta().custom_metadata_map

    def begin(self, row: int, prompt: Ids, source: Ids | None = None) -> Scores:
        """Compute a prompt into a row that nobody has; what the row held is gone."""
        self.read(row, prompt, source, np.array([len(prompt) - 1]))
        return Scores(self._last, {row: 0}, chooses=BEST in self._decoder.outputs)

    def read(self, row: int, prompt: Ids, source: Ids | None, positions: Ids) -> Logits:
        """As `begin`; logits [positions, vocabulary] at those of the prompt."""
        if source is not None:
            self._read_source(row, source)
        exact = self._exact or len(prompt) == 1
        width = len(prompt) if exact else min(bucket(len(prompt), WIDTHS), self.capacity)
        recording = self._prompt_recording(row, width, len(positions))
        feed = recording.feed
        feed["input_ids"][0] = self._generation.pad_token_id or 0
        feed["input_ids"][0, : len(prompt)] = prompt
        if POSITION_IDS in feed:
            # Places of padding may lie behind the last position that the model knows.
            feed[POSITION_IDS][0] = np.minimum(np.arange(width), len(prompt) - 1)
        feed["lengths"][0] = self.lengths[row] = len(prompt)
        feed[self._wanted][0] = positions
        if self._encoder is not None:
            feed["encoder_attention_mask"][0] = self._masks[row]
        recording.run()
        self._last = recording
        return np.empty((0, 0), np.float32) if len(positions) == 1 else recording.answer("logits")[0]

    def advance(self, tokens: Mapping[int, int]) -> Scores:
        """Append one token to each of the rows named, and leave the others as they are."""
        count = min(bucket(max(tokens) + 1, ROWS), self.size.rows)
        recording = self._step_recording(count)
        feed = recording.feed
        # A row that stands still writes where it will write anyway, and nobody reads its answer.
        feed["lengths"][:] = np.minimum(self.lengths[:count] + 1, self.capacity)
        feed["input_ids"][:] = self._generation.pad_token_id or 0
        for row, token in tokens.items():
            self.lengths[row] += 1
            feed["input_ids"][row, 0] = token
        if POSITION_IDS in feed:
            feed[POSITION_IDS][:, 0] = feed["lengths"] - 1
        if self._encoder is not None:
            feed["encoder_attention_mask"][:] = self._masks[:count]
            feed["encoder_attention_mask"][:, 0] = 1
        recording.run()
        return Scores(recording, {row: row for row in tokens}, chooses=BEST in self._decoder.outputs)

    def arrange(self, parents: Mapping[int, int]) -> None:
        """Let each row named become what its parent was; copies through the processor, for beams and branches."""
        moved = {row: parent for row, parent in parents.items() if row != parent}
        if not moved:
            return
        targets, origins = list(moved), list(moved.values())
        for buffer in (*self._caches.values(), *self._cross.values()):
            with self._decoder.place.shared():
                content = buffer.owner.numpy()
                content[targets] = content[origins]
                buffer.owner.update_inplace(content)
        self.lengths[targets] = self.lengths[origins]
        self._masks[targets] = self._masks[origins]

    def release(self) -> None:
        """Let the driver forget what was recorded; the rows are not used again."""
        for recording in self._recordings.values():
            recording.release()

    def _read_source(self, row: int, source: Ids) -> None:
        """Run the encoder into the row's part of the buffers for keys and values of the source."""
        assert self._encoder is not None, "only an encoder-decoder has sources"
        key = ("source", row)
        if key not in self._recordings:
            shape = (1, self._sources)
            written = {name: rows_of(buffer, row, 1) for name, buffer in self._cross.items()}
            self._recordings[key] = self._encoder.record(
                {"input_ids": shape, "attention_mask": shape}, {}, written=written
            )
        feed = self._recordings[key].feed
        feed["input_ids"][:] = self._generation.pad_token_id or 0
        feed["input_ids"][0, : len(source)] = source
        feed["attention_mask"][0] = np.arange(self._sources) < len(source)
        self._masks[row] = feed["attention_mask"][0]
        self._recordings[key].run()

    @property
    def _wanted(self) -> str:
        return LOGIT_ROWS if self._flat else LOGIT_POSITIONS

    def _prompt_recording(self, row: int, width: int, positions: int) -> Recording:
        key = ("prompt", row, width, positions)
        if key in self._recordings:
            return self._recordings[key]
        recorded = width <= SHORT_PROMPT_TOKENS or row < RECORDED_LONG_PROMPTS
        replayed = recorded and positions == 1 and width in (1, *WIDTHS)
        recording = self._record(row, 1, width, positions, width, replayed=replayed)
        # Each has logits of its own on the device: those that only a prompt of the same length would use are let go.
        if positions == 1 and width in (1, self.capacity, bucket(width, WIDTHS)):
            self._recordings[key] = recording
        return recording

    def _step_recording(self, rows: int) -> Recording:
        key = ("step", rows)
        if key not in self._recordings:
            # A processor's graph lays biases out for as many keys as this says; a card's kernels read it once.
            self._recordings[key] = self._record(0, rows, 1, 1, self.capacity, replayed=True)
            if self._flat:
                self._recordings[key].feed[LOGIT_ROWS][:, 0] = np.arange(rows)
        return self._recordings[key]

    def _record(self, first: int, rows: int, width: int, positions: int, total: int, *, replayed: bool) -> Recording:
        fed: dict[str, tuple[int, ...]] = {
            "input_ids": (rows, width),
            "lengths": (rows,),
            self._wanted: (rows, positions),
        }
        if POSITION_IDS in self._types:
            fed[POSITION_IDS] = (rows, width)
        if self._encoder is not None:
            fed["encoder_attention_mask"] = (rows, self._sources)
        caches = {name: rows_of(buffer, first, rows) for name, buffer in self._caches.items()}
        bound = {f"past_key_values.{name}": tensor for name, tensor in caches.items()}
        bound |= {name: rows_of(buffer, first, rows) for name, buffer in self._cross.items()}
        answers: dict[str, tuple[int, ...]] = {"logits": (rows, positions, self._generation.vocabulary)}
        answers |= {name: (rows, positions) for name in (BEST, BEST_SCORE) if name in self._decoder.outputs}
        return self._decoder.record(
            fed,
            answers,
            bound,
            {f"present.{name}": tensor for name, tensor in caches.items()},
            {"total_length": total},
            replayed=replayed,
        )

    def _buffer(self, name: str, shape: tuple[int, ...]) -> Tensor:
        return raw_buffer(self._decoder.place, shape, self._types[name])


class DeviceDecoder:
    """A `Decoder` whose rows are `DeviceRows`: row i of the request stands in row `places[i]`.

    `sources` are what the encoder reads for each prompt, where there is one.
    """

    def __init__(self, rows: DeviceRows, sources: Sequence[Ids] | None = None) -> None:
        self._rows = rows
        self._sources = sources
        self._places: list[int] = []

    def prefill(self, prompts: Sequence[Ids]) -> Logits:
        """As Decoder.prefill."""
        self._places = list(range(len(prompts)))
        sources: list[Ids | None] = list(self._sources) if self._sources else [None] * len(prompts)
        logits = [
            self._rows.begin(row, prompt, source).logits(row).copy()
            for row, (prompt, source) in enumerate(zip(prompts, sources, strict=True))
        ]
        return np.stack(logits)

    def step(self, tokens: Sequence[int]) -> Logits:
        """As Decoder.step."""
        scores = self._rows.advance(dict(zip(self._places, tokens, strict=True)))
        return np.stack([scores.logits(place) for place in self._places])

    def step_to_likeliest(self, tokens: Sequence[int]) -> list[tuple[int, float]]:
        """As LikeliestDecoder.step_to_likeliest."""
        found = self._rows.advance(dict(zip(self._places, tokens, strict=True))).likeliest()
        return [found[place] for place in self._places]

    def reorder(self, rows: Sequence[int]) -> None:
        """As Decoder.reorder: rows that only leave are left where they are."""
        parents = [self._places[row] for row in rows]
        if len(set(parents)) == len(parents):
            self._places = parents
            return
        self._rows.arrange(dict(enumerate(parents)))
        self._places = list(range(len(parents)))

    def score(self, prompt: Ids) -> npt.NDArray[np.float32]:
        """As Decoder.score; needs no source."""
        if len(prompt) < 2:
            return np.zeros(0, np.float32)
        positions = np.arange(len(prompt), dtype=np.int64)
        rows = self._rows.read(0, prompt, self._sources[0] if self._sources else None, positions)[:-1]
        highest = rows.max(axis=1)
        totals = highest + np.log(np.exp(rows - highest[:, None]).sum(axis=1))
        scores: npt.NDArray[np.float32] = rows[np.arange(len(rows)), prompt[1:]] - totals
        return scores

    def release(self) -> None:
        """As Decoder.release: nothing is kept for later requests."""


def rows_for(generation: Generation, *, rows: int, tokens: int, sources: int) -> RowsSize:
    """Sizes that are seen again: rows and sources in buckets, capacity in powers of two."""
    capacity = capacity_for(tokens, generation.max_tokens)
    return RowsSize(bucket(rows, ROWS), capacity, bucket(sources, WIDTHS) if sources else 0)
