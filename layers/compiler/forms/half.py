"""Linear layers on a graphics card, in the numbers of the plan: float16, bfloat16, or float32 where that is needed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from layers.compiler.forms.weight_only import WeightOnly
from layers.compiler.net import Net
from layers.compiler.plan import EXACT_LINEAR, Product, Site


def transposed_weight(net: Net, site: Site) -> ir.Value:
    """The site's weight as an initializer [in_features, out_features]."""
    shape = (site.in_features, site.out_features)
    return net.lazy(f"{site.key}.T", ir.DataType.FLOAT, shape, lambda: np.ascontiguousarray(site.read_weight().T))


@dataclass(frozen=True)
class HalfLinear:
    """MatMul with weights as [in_features, out_features]; the bias is left to the operator that follows.

    That layout is the one onnxruntime's products for few rows read (tinygemm2, chosen by gemm auto-tuning). Gemm, which
    could take the bias along, cost more than the operators it saved (docs/gpu.md).
    """

    def emit(self, net: Net, x: ir.Value, site: Site) -> Product:
        """See LinearForm."""
        return Product(net.op.MatMul(x, transposed_weight(net, site)), site.bias(net))


@dataclass(frozen=True)
class KeptLinear:
    """float32 weights and sums inside a graph of narrower numbers, for layers that do not bear those."""

    def emit(self, net: Net, x: ir.Value, site: Site) -> Product:
        """See LinearForm."""
        with net.single(x) as exact:
            shape = (site.in_features, site.out_features)
            weight = net.lazy(
                f"{site.key}.T.fp32", ir.DataType.FLOAT, shape, lambda: np.ascontiguousarray(site.read_weight().T)
            )
            product = net.op.MatMul(exact, weight)
            if site.read_bias is not None:
                name = f"{site.module}.bias.fp32"
                bias = net.lazy(name, ir.DataType.FLOAT, (site.out_features,), site.read_bias)
                product = net.op.Add(product, bias)
        return Product(product if net.reals == ir.DataType.FLOAT else net.op.Cast(product, to=net.reals))


@dataclass(frozen=True)
class DeviceWeightOnly:
    """4-bit weights in blocks, read by MatMulNBits and multiplied in the numbers of the plan."""

    block: int = 32
    bits: int = 4

    def emit(self, net: Net, x: ir.Value, site: Site) -> Product:
        """See LinearForm."""
        if site.in_features % self.block:
            return HalfLinear().emit(net, x, site)
        product = WeightOnly(self.block, self.bits, accuracy=0, takes_bias=False).emit(net, x, site)
        return Product(product.value, site.bias(net))


HALF_LINEAR = HalfLinear()
# [out_features, in_features] as it lies on disk: the table of embeddings that most vocabularies share.
HALF_VOCABULARY = EXACT_LINEAR
