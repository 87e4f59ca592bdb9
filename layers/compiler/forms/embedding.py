"""Embedding tables in 8 bits, a quarter of the bytes to load at start; only rows that are looked up are converted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from layers.compiler.forms.weight_only import WeightOnly
from layers.compiler.net import Net
from layers.compiler.quantization import quantize_weight, weight_scales


@dataclass(frozen=True)
class Int8Embedding:
    """One scale per row: gather codes and scales, then multiply."""

    def emit(self, net: Net, ids: ir.Value, name: str) -> ir.Value:
        """See EmbeddingForm."""
        entries, dimension = net.checkpoint.shape(name)

        def scales() -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
            return weight_scales(net.checkpoint.read(name), 8)[:, None]

        def codes() -> np.ndarray[tuple[int, ...], np.dtype[np.int8]]:
            table = net.checkpoint.read(name)
            return quantize_weight(table, weight_scales(table, 8), 8)

        # "rows": a vocabulary projection tied to this table has codes of its own, transposed.
        table = net.lazy(f"{name}.rows.int8", ir.DataType.INT8, (entries, dimension), codes)
        rows = net.op.Gather(table, ids)
        row_scales = net.op.Gather(net.lazy(f"{name}.rows.int8.scale", ir.DataType.FLOAT, (entries, 1), scales), ids)
        return net.op.Mul(net.op.Cast(rows, to=ir.DataType.FLOAT), row_scales)


@dataclass(frozen=True)
class BlockEmbedding:
    """Rows of the 8-bit blocks that a product with the vocabulary reads: where the two are tied, one copy is written.

    GPT-2's artifact is 39 MB smaller for it. Tables that the block does not divide have one scale per row.
    """

    blocks: WeightOnly

    def emit(self, net: Net, ids: ir.Value, name: str) -> ir.Value:
        """See EmbeddingForm."""
        assert self.blocks.bits == 8, "four-bit codes lie two in a byte, and rows of them are no embeddings to rely on"
        entries, dimension = net.checkpoint.shape(name)
        blocks = self.blocks.chosen(net)
        if dimension % blocks.block:
            return Int8Embedding().emit(net, ids, name)
        op = net.op
        codes, scales = blocks.initializers(net, name, (entries, dimension), lambda: net.checkpoint.read(name))
        middle = net.constant("middle.128", np.array(128, np.float32))
        rows = op.Sub(op.Cast(op.Gather(codes, ids), to=ir.DataType.FLOAT), middle)
        return op.Reshape(op.Mul(rows, op.Unsqueeze(op.Gather(scales, ids), [-1])), [0, 0, dimension])
