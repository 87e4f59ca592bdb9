"""Attention over whole texts: one fused operator (with or without the projections' biases), or its products apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import onnx_ir as ir

from layers.compiler.operators import Axis
from layers.compiler.plan import MASKED, joined

if TYPE_CHECKING:
    from layers.compiler.net import Net


@dataclass(frozen=True)
class Attended:
    """What attention reads: query, key and value [batch, sequence, hidden], and what it is told beside them.

    `mask` int32 [batch, keys] is 1 where a key counts; `bias` [batch or 1, heads or 1, queries, keys].
    """

    query: ir.Value
    key: ir.Value
    value: ir.Value
    heads: int
    mask: ir.Value | None
    bias: ir.Value | None
    scale: float | None


class Attention(Protocol):
    """Emits attention: [batch, sequence, hidden]."""

    def __call__(self, net: Net, over: Attended) -> ir.Value: ...


def fused(net: Net, over: Attended) -> ir.Value:
    """MultiHeadAttention on finished projections."""
    return _fused(net, over, (over.query, over.key, over.value), None)


def fused_with_biases(net: Net, over: Attended) -> ir.Value:
    """MultiHeadAttention that adds the biases of all three projections while it lays them out by heads."""
    found = [net.linears.get(value) for value in (over.query, over.key, over.value)]
    linears = [linear for linear in found if linear is not None and linear.product.bias is not None]
    if len(linears) < len(found):
        return fused(net, over)
    query, key, value = (linear.product.value for linear in linears)
    return _fused(net, over, (query, key, value), joined([linear.site for linear in linears]).bias(net))


def _fused(net: Net, over: Attended, inputs: tuple[ir.Value, ...], biases: ir.Value | None) -> ir.Value:
    options: dict[str, Any] = {"num_heads": over.heads, "mask_filter_value": MASKED}
    if over.scale is not None:
        options["scale"] = over.scale
    return net.ms.MultiHeadAttention(*inputs, biases, over.mask, over.bias, **options)


def products(net: Net, over: Attended) -> ir.Value:
    """Transposes, two matrix products and a softmax."""
    op = net.op
    by_heads = net.constant(f"heads.{over.heads}", np.array([0, 0, over.heads, -1], np.int64))
    query, key, value = (
        op.Transpose(op.Reshape(x, by_heads), perm=[0, 2, 1, 3]) for x in (over.query, over.key, over.value)
    )
    if over.scale is None:
        width = op.Cast(op.Shape(query, start=3, end=4), to=ir.DataType.FLOAT)
        query, scale = op.Div(query, op.Sqrt(width)), 1.0
    else:
        scale = over.scale
    scores = net.ms.FusedMatMul(query, key, transB=1, alpha=scale)
    if over.bias is not None:
        scores = op.Add(scores, over.bias)
    if over.mask is not None:
        scores = op.Add(scores, _penalties(net, over.mask))
    attended = op.Transpose(op.MatMul(op.Softmax(scores, axis=-1), value), perm=[0, 2, 1, 3])
    return op.Reshape(attended, net.constant("heads.joined", np.array([0, 0, -1], np.int64)))


def _penalties(net: Net, mask: ir.Value) -> ir.Value:
    """float32 [batch, 1, 1, keys]: 0 where a key counts, MASKED where it does not; once a graph."""
    key = ("penalties", mask.name)
    if key not in net.shared:
        op = net.op
        hidden = op.Sub(net.constant("one", np.array(1, np.float32)), op.Cast(mask, to=ir.DataType.FLOAT))
        penalties = op.Mul(hidden, net.constant("masked", np.array(MASKED, np.float32)))
        net.shared[key] = op.Unsqueeze(penalties, [1, 2])
    return net.shared[key]


ATTENTION: Axis[Attention] = Axis(
    "attention",
    {"fused": fused, "fused-with-biases": fused_with_biases, "products": products},
    quick=frozenset({"fused-with-biases"}),
)
