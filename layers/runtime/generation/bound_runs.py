"""Arrays that a decoder's graph reads and writes in runs of one shape, bound to it once and written in place.

Inputs and outputs are those of layers/generation.py. Past and present are the same memory, a slot's, so nothing is
copied from token to token.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from layers.generation import Generation
from layers.runtime.generation.decoder import Ids, Logits
from layers.runtime.generation.encoder import EncodedSources, cross_names
from layers.runtime.generation.slots import Buffer, Slot


@dataclass(frozen=True, slots=True)
class BoundRun:
    """One shape: so many `rows` of new tokens, and positions of each whose logits are wanted.

    `input_ids` int64 [rows, tokens], `positions` int64 [rows, positions], `lengths` int32 [rows], `total` int32 [] and
    `logits` float32 [rows, positions, vocabulary], which hold until the next run of any shape.
    """

    session: onnxruntime.InferenceSession
    binding: onnxruntime.IOBinding
    input_ids: Ids
    positions: Ids
    lengths: npt.NDArray[np.int32]
    total: npt.NDArray[np.int32]
    logits: Logits

    def __call__(self, lengths: npt.NDArray[np.int32], longest: int) -> Logits:
        """Compute what `input_ids` and `positions` hold, rows being `lengths` long with it; gives `logits`."""
        self.lengths[:] = lengths
        self.total[()] = longest
        self.session.run_with_iobinding(self.binding)
        return self.logits


class BoundRuns:
    """The runs of one decoder, by shape: one that comes again is found bound.

    Binding takes a tenth of the time of a small model's token, and guessed tokens make every run another shape. All is
    bound anew when the slot, or what an encoder gave, has other memory.
    """

    def __init__(
        self, session: onnxruntime.InferenceSession, generation: Generation, slot: Slot, sources: EncodedSources | None
    ) -> None:
        self._session = session
        self._generation = generation
        self._slot = slot
        self._sources = sources
        self._runs: dict[tuple[int, int, int], BoundRun] = {}
        self._views: list[Buffer] | None = None
        self._cross: list[Buffer] | None = None
        self._scores = np.empty(0, dtype=np.float32)

    def of(self, rows: int, tokens: int, positions: int = 1) -> BoundRun:
        """The run of that shape over what the slot holds now."""
        cross = self._sources.cross if self._sources else None
        if self._slot.views is not self._views or cross is not self._cross:
            self._runs, self._views, self._cross = {}, self._slot.views, cross
        run = self._runs.get((rows, tokens, positions))
        if run is None:
            run = self._runs[rows, tokens, positions] = self._bind(rows, tokens, positions)
        return run

    def _bind(self, rows: int, tokens: int, positions: int) -> BoundRun:
        binding = self._session.io_binding()
        run = BoundRun(
            self._session,
            binding,
            np.zeros((rows, tokens), dtype=np.int64),
            np.zeros((rows, positions), dtype=np.int64),
            np.zeros(rows, dtype=np.int32),
            np.zeros((), dtype=np.int32),
            self._logits(rows, positions),
        )
        inputs: dict[str, npt.NDArray[Any]] = {
            "input_ids": run.input_ids,
            "logit_positions": run.positions,
            "lengths": run.lengths,
            "total_length": run.total,
        }
        cache = self._generation.cache
        if self._sources is not None:
            inputs |= {
                name: array[:rows] for name, array in zip(cross_names(cache.layers), self._sources.cross, strict=True)
            }
            inputs["encoder_attention_mask"] = self._sources.mask[:rows]
        for name, array in inputs.items():
            binding.bind_ortvalue_input(name, _value(array))
        binding.bind_ortvalue_output("logits", _value(run.logits))
        parts = [f"{layer}.{part}" for layer in range(cache.layers) for part in ("key", "value")]
        for part, view in zip(parts, self._slot.views, strict=True):
            value = _value(view)
            binding.bind_ortvalue_input(f"past_key_values.{part}", value)
            binding.bind_ortvalue_output(f"present.{part}", value)
        return run

    def _logits(self, rows: int, positions: int) -> Logits:
        """Shared by runs of all shapes; memory grows in doubles, since runs bound before keep what they have."""
        size = rows * positions * self._generation.vocabulary
        if size > len(self._scores):
            self._scores = np.empty(max(size, 2 * len(self._scores)), dtype=np.float32)
        return self._scores[:size].reshape(rows, positions, self._generation.vocabulary)


def _value(array: npt.NDArray[Any]) -> onnxruntime.OrtValue:
    # On a CPU this is a view of the array, not a copy.
    return onnxruntime.OrtValue.ortvalue_from_numpy(array)
