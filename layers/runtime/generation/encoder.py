"""The encoder of an encoder-decoder: run once a request; its answer is what the decoder attends to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import onnxruntime

from layers.generation import CacheLayout
from layers.runtime.generation.decoder import Ids
from layers.runtime.generation.slots import Buffer

Element = TypeVar("Element", np.float32, np.int32)


@dataclass(slots=True)
class EncodedSources:
    """`cross` are key and value of each layer, [rows, heads, source, head_dim]; `mask` is int32 [rows, source]."""

    cross: list[Buffer]
    mask: npt.NDArray[np.int32]

    @property
    def rows(self) -> int:
        """Sources, or rows of the decoder that branched from them."""
        return len(self.mask)

    def widen(self, rows: int) -> None:
        """Room for more rows; what the new ones hold is not set."""
        self.cross = [_widened(array, rows) for array in self.cross]
        self.mask = _widened(self.mask, rows)

    def copy_row(self, source: int, target: int) -> None:
        """Let row `target` be what row `source` is."""
        for array in self.cross:
            array[target] = array[source]
        self.mask[target] = self.mask[source]


class SourceEncoder:
    """A session of `encoder.VARIANT.onnx`. Safe to share between threads."""

    def __init__(self, session: onnxruntime.InferenceSession, layout: CacheLayout, pad_token_id: int) -> None:
        self._session = session
        self._layout = layout
        self._pad = pad_token_id

    def encode(self, sources: Sequence[Ids]) -> EncodedSources:
        """Run the encoder on sources of any lengths; rows are padded on the right."""
        shape = (len(sources), max(len(source) for source in sources))
        input_ids = np.full(shape, self._pad, dtype=np.int64)
        mask = np.zeros(shape, dtype=np.int64)
        for row, source in enumerate(sources):
            input_ids[row, : len(source)] = source
            mask[row, : len(source)] = 1
        heads, width = self._layout.cross_heads, self._layout.cross_head_dim
        cross = [np.empty((shape[0], heads, shape[1], width), dtype=np.float32) for _ in range(2 * self._layout.layers)]
        binding = self._session.io_binding()
        for name, read in (("input_ids", input_ids), ("attention_mask", mask)):
            binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(read))
        for name, written in zip(cross_names(self._layout.layers), cross, strict=True):
            binding.bind_ortvalue_output(name, onnxruntime.OrtValue.ortvalue_from_numpy(written))
        self._session.run_with_iobinding(binding)
        return EncodedSources(cross, mask.astype(np.int32))


def cross_names(layers: int) -> list[str]:
    """The encoder's outputs and the decoder's inputs, in the order of `EncodedSources.cross`."""
    return [f"cross.{layer}.{part}" for layer in range(layers) for part in ("key", "value")]


def _widened(array: npt.NDArray[Element], rows: int) -> npt.NDArray[Element]:
    wider: npt.NDArray[Element] = np.empty((rows, *array.shape[1:]), dtype=array.dtype)
    wider[: len(array)] = array
    return wider
