"""One variant's graphs, opened: sequences fed and advanced as layers/generation.py says. Chooses no tokens.

For the gate and the clock of the build; what serves requests is layers/runtime/generation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from layers.artifact import Variant
from layers.generation import LOGIT_POSITIONS, LOGIT_ROWS, POSITION_IDS, CacheLayout

# ONNX's number of a type, and a numpy type of its size.
STORED: dict[str, tuple[int, type[np.generic]]] = {
    "tensor(float)": (1, np.float32),
    "tensor(float16)": (10, np.float16),
    "tensor(bfloat16)": (16, np.uint16),
}
Ids = NDArray[np.int64]
Logits = NDArray[np.float32]


@dataclass(frozen=True)
class Sources:
    """An encoder's answer: cross keys and values by input name, and the mask int32 [batch, source]."""

    cross: dict[str, onnxruntime.OrtValue]
    mask: NDArray[np.int32]


@dataclass(frozen=True)
class GenerativeSession:
    """The decoder, and the encoder where there is one, with as many threads as they will be served with."""

    layout: CacheLayout
    decoder: onnxruntime.InferenceSession
    encoder: onnxruntime.InferenceSession | None

    @classmethod
    def open(
        cls, directory: Path, variant: Variant, layout: CacheLayout, opener: Callable[[Path], Any]
    ) -> GenerativeSession:
        """Open a variant's files with `opener`, here or on a card."""
        assert variant.file is not None, "a variant that was not written cannot be judged"
        encoder = opener(directory / variant.encoder_file) if variant.encoder_file else None
        return cls(layout, opener(directory / variant.file), encoder)

    def encode(self, texts: Sequence[Ids]) -> Sources | None:
        """Run the encoder on texts of any lengths; None for a decoder alone."""
        if self.encoder is None:
            return None
        ids, mask = right_padded(texts)
        names = [output.name for output in self.encoder.get_outputs()]
        binding = self.encoder.io_binding()
        for name, array in (("input_ids", ids), ("attention_mask", mask)):
            binding.bind_cpu_input(name, array)
        for name in names:
            binding.bind_output(name)
        self.encoder.run_with_iobinding(binding, unrecorded())
        return Sources(dict(zip(names, binding.get_outputs(), strict=True)), mask.astype(np.int32))

    def begin(self, rows: int, capacity: int, sources: Sources | None = None) -> Sequences:
        """Empty caches for `rows` sequences of up to `capacity` tokens."""
        return Sequences(self, rows, capacity, sources)


class Sequences:
    """A batch of sequences and their caches, which the graph writes in place."""

    def __init__(self, session: GenerativeSession, rows: int, capacity: int, sources: Sources | None) -> None:
        layout = session.layout
        shape = (rows, layout.kv_heads, capacity, layout.head_dim)
        self._decoder = session.decoder
        types = {node.name: STORED[node.type] for node in session.decoder.get_inputs() if node.type in STORED}
        self._caches = {
            f"{layer}.{part}": _zeros(shape, *types[f"past_key_values.{layer}.{part}"])
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
            feeds["encoder_attention_mask"] = self._sources.mask
        binding = self._decoder.io_binding()
        for name, array in feeds.items():
            binding.bind_cpu_input(name, array)
        for name, source in (self._sources.cross if self._sources else {}).items():
            binding.bind_ortvalue_input(name, source)
        binding.bind_output("logits")
        for name, cache in self._caches.items():
            binding.bind_ortvalue_input(f"past_key_values.{name}", cache)
            binding.bind_ortvalue_output(f"present.{name}", cache)
        self._decoder.run_with_iobinding(binding, unrecorded())
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


def _zeros(shape: tuple[int, ...], element_type: int, integers: type[np.generic]) -> onnxruntime.OrtValue:
    """An empty cache on the processor; numpy has no bfloat16, whose zeros are those of integers."""
    return onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(np.zeros(shape, integers), element_type)


def unrecorded() -> onnxruntime.RunOptions:
    """Runs of shapes that do not come again: a card is not to record them."""
    options = onnxruntime.RunOptions()
    options.add_run_config_entry("gpu_graph_id", "-1")
    return options


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
