"""The exact GELU (by the error function), or an approximation of it; models that ask for one have no choice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import onnx_ir as ir

from layers.compiler.operators import Axis

if TYPE_CHECKING:
    from layers.compiler.net import Net
    from layers.compiler.plan import Product


class Gelu(Protocol):
    """Emits gelu(product + bias)."""

    def __call__(self, net: Net, product: Product) -> ir.Value: ...


def exact(net: Net, product: Product) -> ir.Value:
    """By the error function, the bias added on the way."""
    if product.bias is not None:
        return net.ms.BiasGelu(product.value, product.bias)
    return net.op.Gelu(product.value)


def by_tanh(net: Net, product: Product) -> ir.Value:
    """By tanh, which is never farther than 5e-4 from the exact one; the bias added on the way."""
    return net.ms.FastGelu(*([product.value] if product.bias is None else [product.value, product.bias]))


def by_sigmoid(net: Net, product: Product) -> ir.Value:
    """x * sigmoid(1.702 x), up to 0.02 from the exact one."""
    value = product.value if product.bias is None else net.op.Add(product.value, product.bias)
    return net.ms.QuickGelu(value, alpha=1.702)


GELU: Axis[Gelu] = Axis(
    "gelu",
    {"exact": exact, "tanh": by_tanh, "sigmoid": by_sigmoid},
    approximate=frozenset({"tanh", "sigmoid"}),
)
