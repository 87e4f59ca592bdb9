"""A decoder's session driven as layers/generation.py says: past and present are one buffer, rows are right-padded."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from layers.generation import CacheLayout
from tests.compiler.texts import Ids

Array = NDArray[np.float32]


class CachedDecoder:
    """One batch of sequences. `cross` and `source_mask` are an encoder's answer."""

    def __init__(
        self,
        session: ort.InferenceSession,
        layout: CacheLayout,
        rows: int,
        capacity: int,
        cross: dict[str, Array] | None = None,
        source_mask: Ids | None = None,
    ) -> None:
        self._session = session
        self._lengths = np.zeros(rows, np.int32)
        shape = (rows, layout.kv_heads, capacity, layout.head_dim)
        # Whatever a buffer held before must not matter.
        self._buffers = {
            f"{layer}.{part}": ort.OrtValue.ortvalue_from_numpy(np.full(shape, 7e3, np.float32))
            for layer in range(layout.layers)
            for part in ("key", "value")
        }
        self._fixed: dict[str, NDArray[np.generic]] = dict(cross or {})
        if source_mask is not None:
            self._fixed["encoder_attention_mask"] = source_mask.astype(np.int32)

    def feed(self, new: Sequence[Ids], wanted: Sequence[Sequence[int]] | None = None) -> Array:
        """Append `new` tokens to each row; logits [rows, positions, vocabulary] at `wanted`, by default the last."""
        width = max(len(row) for row in new)
        ids = np.zeros((len(new), width), np.int64)
        for index, row in enumerate(new):
            ids[index, : len(row)] = row
        self._lengths = self._lengths + np.array([len(row) for row in new], np.int32)
        positions = np.array(wanted or [[len(row) - 1] for row in new], np.int64)
        feeds = {
            "input_ids": ids,
            "lengths": self._lengths,
            "total_length": np.array(self._lengths.max(), np.int32),
            "logit_positions": positions,
            **self._fixed,
        }
        binding = self._session.io_binding()
        for name, array in feeds.items():
            binding.bind_cpu_input(name, np.ascontiguousarray(array))
        for name, buffer in self._buffers.items():
            binding.bind_ortvalue_input(f"past_key_values.{name}", buffer)
            binding.bind_ortvalue_output(f"present.{name}", buffer)
        binding.bind_output("logits")
        self._session.run_with_iobinding(binding)
        logits: Array = binding.get_outputs()[-1].numpy()
        return logits

    def greedy(self, logits: Array, count: int) -> Ids:
        """`count` tokens a row, the first from `logits`."""
        chosen = [logits[:, -1].argmax(-1)]
        while len(chosen) < count:
            chosen.append(self.feed([row[None] for row in chosen[-1]])[:, -1].argmax(-1))
        return np.stack(chosen, 1)
