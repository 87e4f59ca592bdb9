"""Cross-attention's side of the encoder's graph: keys and values of every decoder layer, computed once per request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx_ir as ir

from layers.compiler.net import Net


def cross_outputs(
    net: Net, projections: Sequence[Sequence[ir.Value]], heads: int, head_dim: int
) -> Mapping[str, ir.Value]:
    """Pairs of key and value [batch, source, heads * head_dim], as outputs [batch, heads, source, head_dim] by name."""
    return {
        f"cross.{layer}.{part}": net.op.Transpose(net.op.Reshape(value, [0, 0, heads, head_dim]), perm=[0, 2, 1, 3])
        for layer, pair in enumerate(projections)
        for part, value in zip(("key", "value"), pair, strict=True)
    }
