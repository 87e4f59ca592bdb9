"""One variant's graphs, opened: sequences fed and advanced as layers/generation.py says. Chooses no tokens.

For the gate and the clock of the build; what serves requests is layers/runtime/generation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from layers.artifact import Variant
from layers.generation import LOGIT_POSITIONS, LOGIT_ROWS, POSITION_IDS, CacheLayout

Ids = NDArray[np.int64]
Logits = NDArray[np.float32]


@dataclass(frozen=True)
class Sources:
    """An encoder's answer: cross keys and values by input name, and the mask int32 [batch, source]."""

    cross: dict[str, NDArray[np.float32]]
    mask: NDArray[np.int32]


@dataclass(frozen=True)
class GenerativeSession:
    """The decoder, and the encoder where there is one, with as many threads as they will be served with."""

    layout: CacheLayout
    decoder: onnxruntime.InferenceSession
    encoder: onnxruntime.InferenceSession | None

    @classmethod
    def open(cls, directory: Path, variant: Variant, layout: CacheLayout, threads: int) -> GenerativeSession:
        """Open a variant's files."""
        assert variant.file is not None, "a variant that was not written cannot be judged"
        encoder = variant.encoder_file and open_graph(directory / variant.encoder_file, threads)
        return cls(layout, open_graph(directory / variant.file, threads), encoder or None)

    def encode(self, texts: Sequence[Ids]) -> Sources | None:
        """Run the encoder on texts of any lengths; None for a decoder alone."""
        if self.encoder is None:
            return None
        ids, mask = right_padded(texts)
        names = [output.name for output in self.encoder.get_outputs()]
        answers: Any = self.encoder.run(names, {"input_ids": ids, "attention_mask": mask})
        return Sources(dict(zip(names, answers, strict=True)), mask.astype(np.int32))

    def begin(self, rows: int, capacity: int, sources: Sources | None = None) -> Sequences:
        """Empty caches for `rows` sequences of up to `capacity` tokens."""
        return Sequences(self, rows, capacity, sources)


class Sequences:
    """A batch of sequences and their caches, which the graph writes in place."""

    def __init__(self, session: GenerativeSession, rows: int, capacity: int, sources: Sources | None) -> None:
        layout = session.layout
        shape = (rows, layout.kv_heads, capacity, layout.head_dim)
        self._decoder = session.decoder
        self._caches = {
            f"{layer}.{part}": onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros(shape, np.float32))
            for layer in range(layout.layers)
            for part in ("key", "value")
        }
        self._sources = sources
        self._inputs = {node.name for node in session.decoder.get_inputs()}
        self.lengths = np.zeros(rows, np.int32)

    def feed(self, new: Sequence[Ids], wanted: NDArray[np.int64] | None = None) -> Logits:
        """Append tokens to every row; logits [rows, positions, vocabulary] at `wanted`, by default each row's last."""
        ids, _ = right_padded(new)
        counts = np.array([len(row) for row in new], np.int32)
        self.lengths = self.lengths + counts
        feeds: dict[str, Any] = {
            "input_ids": ids,
            "lengths": self.lengths,
            "total_length": np.array(self.lengths.max(), np.int32),
            **self._places(ids, counts, (counts[:, None] - 1).astype(np.int64) if wanted is None else wanted),
        }
        if self._sources is not None:
            feeds |= {**self._sources.cross, "encoder_attention_mask": self._sources.mask}
        binding = self._decoder.io_binding()
        for name, array in feeds.items():
            binding.bind_cpu_input(name, array)
        binding.bind_output("logits")
        for name, cache in self._caches.items():
            binding.bind_ortvalue_input(f"past_key_values.{name}", cache)
            binding.bind_ortvalue_output(f"present.{name}", cache)
        self._decoder.run_with_iobinding(binding)
        logits: Logits = binding.get_outputs()[0].numpy()
        return logits

    def _places(self, ids: Ids, counts: NDArray[np.int32], wanted: NDArray[np.int64]) -> dict[str, Ids]:
        """Which positions are wanted, as the graph counts them; and where the tokens stand, if it asks."""
        if LOGIT_POSITIONS in self._inputs:
            return {LOGIT_POSITIONS: wanted}
        rows, width = ids.shape
        feeds = {LOGIT_ROWS: wanted + np.arange(rows)[:, None] * width}
        if POSITION_IDS in self._inputs:
            past = (self.lengths - counts).astype(np.int64)
            feeds[POSITION_IDS] = past[:, None] + np.arange(width)
        return feeds


def right_padded(rows: Sequence[Ids]) -> tuple[Ids, Ids]:
    """(ids, mask), each int64 [rows, longest]."""
    ids = np.zeros((len(rows), max(len(row) for row in rows)), np.int64)
    mask = np.zeros_like(ids)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = row
        mask[index, : len(row)] = 1
    return ids, mask


def open_graph(path: Path, threads: int) -> onnxruntime.InferenceSession:
    """Open a graph as the runtime does: it has been optimized when it was built."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.add_session_config_entry("session.dynamic_block_base", "4")
    # Several variants are open at once; pools that spin would take each other's time.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
