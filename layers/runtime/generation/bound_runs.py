"""Arrays that a decoder's graph reads and writes in runs of one shape, bound to it once and written in place.

Inputs and outputs are those of layers/generation.py. Past and present are the same memory, a slot's, so nothing is
copied from token to token.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from layers.generation import Generation
from layers.runtime.generation.decoder import Ids, Logits
from layers.runtime.generation.encoder import EncodedSources, cross_names
from layers.runtime.generation.slots import Buffer, Slot


class BoundRun:
    """One shape: so many new tokens in each of the rows that `views` are keys and values of, as `Slot.views` are.

    Attributes: `input_ids` int64 [rows, tokens], `positions` int64 [rows, positions], zeros at first, and what the
    caller gives as `logits`, float32 [rows, positions, vocabulary].
    """

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        generation: Generation,
        views: Sequence[Buffer],
        tokens: int,
        logits: Logits,
        sources: EncodedSources | None = None,
    ) -> None:
        rows, positions, _ = logits.shape
        self._session = session
        self._binding = session.io_binding()
        self.input_ids: Ids = np.zeros((rows, tokens), dtype=np.int64)
        self.positions: Ids = np.zeros((rows, positions), dtype=np.int64)
        self._lengths = np.zeros(rows, dtype=np.int32)
        self._total = np.zeros((), dtype=np.int32)
        self.logits = logits
        inputs: dict[str, npt.NDArray[Any]] = {
            "input_ids": self.input_ids,
            "logit_positions": self.positions,
            "lengths": self._lengths,
            "total_length": self._total,
        }
        layers = generation.cache.layers
        if sources is not None:
            inputs |= {name: array[:rows] for name, array in zip(cross_names(layers), sources.cross, strict=True)}
            inputs["encoder_attention_mask"] = sources.mask[:rows]
        for name, array in inputs.items():
            self._binding.bind_ortvalue_input(name, _value(array))
        self._binding.bind_ortvalue_output("logits", _value(logits))
        parts = [f"{layer}.{part}" for layer in range(layers) for part in ("key", "value")]
        for part, view in zip(parts, views, strict=True):
            value = _value(view)
            self._binding.bind_ortvalue_input(f"past_key_values.{part}", value)
            self._binding.bind_ortvalue_output(f"present.{part}", value)

    def __call__(self, lengths: Sequence[int] | npt.NDArray[np.int32], longest: int) -> Logits:
        """Compute what the arrays hold; rows are `lengths` long with it, and no row is longer than `longest`."""
        self._lengths[:] = lengths
        self._total[()] = longest
        self._session.run_with_iobinding(self._binding)
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
            logits = self._logits(rows, positions)
            run = BoundRun(self._session, self._generation, self._slot.views, tokens, logits, self._sources)
            self._runs[rows, tokens, positions] = run
        return run

    def _logits(self, rows: int, positions: int) -> Logits:
        """Shared by runs of all shapes, so they hold until the next run of any.

        Memory grows in doubles, since runs bound before keep what they have.
        """
        size = rows * positions * self._generation.vocabulary
        if size > len(self._scores):
            self._scores = np.empty(max(size, 2 * len(self._scores)), dtype=np.float32)
        return self._scores[:size].reshape(rows, positions, self._generation.vocabulary)


def _value(array: npt.NDArray[Any]) -> onnxruntime.OrtValue:
    # On a CPU this is a view of the array, not a copy.
    return onnxruntime.OrtValue.ortvalue_from_numpy(array)
