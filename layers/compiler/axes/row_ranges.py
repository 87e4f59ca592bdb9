"""How rows of activations are brought to u8, each by its own peak: forms of what comes before an int8 product."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
import onnx_ir as ir

from layers.compiler.operators import Axis

if TYPE_CHECKING:
    from layers.compiler.net import Net


class RowQuantizing(Protocol):
    """[..., in_features] -> codes of the same shape, u8 around 128, in steps of peak / 127; and the peaks [..., 1]."""

    def __call__(self, net: Net, x: ir.Value) -> tuple[ir.Value, ir.Value]: ...


def by_extremes(net: Net, x: ir.Value) -> tuple[ir.Value, ir.Value]:
    """The larger of Max and -Min: no pass that writes a full copy."""
    op, axis = net.op, _last_axis(net)
    low, high = op.ReduceMin(x, axis, keepdims=1), op.ReduceMax(x, axis, keepdims=1)
    peak = op.Max(high, op.Neg(low), _tiny(net))
    return _codes(net, op.Div(x, peak)), peak


def by_absolutes(net: Net, x: ir.Value) -> tuple[ir.Value, ir.Value]:
    """Max of Abs: one operator less to start, one full copy more."""
    op = net.op
    peak = op.Max(op.ReduceMax(op.Abs(x), _last_axis(net), keepdims=1), _tiny(net))
    return _codes(net, op.Div(x, peak)), peak


def _codes(net: Net, share: ir.Value) -> ir.Value:
    step = net.constant("1/127", np.array(1 / 127, np.float32))
    return net.op.QuantizeLinear(share, step, net.constant("zero_point.128", np.array(128, np.uint8)))


def _last_axis(net: Net) -> ir.Value:
    return net.constant("last_axis", np.array([-1], np.int64))


def _tiny(net: Net) -> ir.Value:
    """A row of zeros has no peak to divide by."""
    return net.constant("tiny", np.array(1e-30, np.float32))


ROW_RANGES: Axis[RowQuantizing] = Axis("row-ranges", {"extremes": by_extremes, "absolutes": by_absolutes})
