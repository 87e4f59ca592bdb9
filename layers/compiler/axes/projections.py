"""Query, key and value of an encoder: three products, or one whose output is cut in three."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import onnx_ir as ir

from layers.compiler.operators import Axis

if TYPE_CHECKING:
    from layers.compiler.net import Net
    from layers.compiler.stored import Projection


class Projecting(Protocol):
    """Emits linear layers of one tensor, all as wide as the first."""

    def __call__(self, net: Net, x: ir.Value, layers: Sequence[Projection]) -> list[ir.Value]: ...


def apart(net: Net, x: ir.Value, layers: Sequence[Projection]) -> list[ir.Value]:
    """A product each."""
    return [net.linear(x, layer.module, bias=layer.bias) for layer in layers]


def side_by_side(net: Net, x: ir.Value, layers: Sequence[Projection]) -> list[ir.Value]:
    """One product of the weights side by side, then Split: fewer operators to start, one more copy."""
    count, uses = len(layers), len(net.sites)
    projected = net.side_by_side(x, layers)
    width, _ = net.checkpoint.shape(f"{layers[0].module}.weight")
    sizes = net.constant(f"sizes.{count}x{width}", np.full(count, width, np.int64))
    # A shared layer's projections are named once a use.
    parts: Any = net.op.Split(projected, sizes, axis=-1, _outputs=[f"{layer.module}.{uses}" for layer in layers])
    return list(parts)


PROJECTIONS: Axis[Projecting] = Axis(
    "projections", {"apart": apart, "side-by-side": side_by_side}, quick=frozenset({"side-by-side"})
)
