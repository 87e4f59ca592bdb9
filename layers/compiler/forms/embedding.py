"""Embedding tables as int8 rows, a quarter of the bytes to load at start; one scale per row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from layers.compiler.net import Net
from layers.compiler.quantization import quantize_weight, weight_scales


@dataclass(frozen=True)
class Int8Embedding:
    """Gather the codes and the scales, then multiply; only the looked-up rows are converted."""

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
