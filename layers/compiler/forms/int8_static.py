"""int8 with activation ranges fixed at build time: the fastest form, and rows do not depend on their neighbours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from layers.compiler.forms.weights import int8_weight
from layers.compiler.net import Net
from layers.compiler.plan import Product, Site
from layers.compiler.quantization import ActivationRange, Floats
from layers.compiler.smoothing import Smoothed


@dataclass(frozen=True)
class Int8Static:
    """QuantizeLinear with a calibrated range, then MatMulIntegerToFloat.

    Activations are u8: with s8 activations onnxruntime 1.32 has no packed kernel (14 times slower at 128 rows).
    Projections that read the same tensor with the same range share one QuantizeLinear. Sites in `smoothed` have
    their outlier channels divided away first.
    """

    ranges: Mapping[str, ActivationRange]
    bits: int = 8
    smoothed: Mapping[str, Smoothed] = field(default_factory=dict)

    def emit(self, net: Net, x: ir.Value, site: Site) -> Product:
        """See LinearForm."""
        smoothing = self.smoothed.get(site.name)
        activation = smoothing.activations if smoothing else self.ranges[site.name]
        scale = net.constant(f"scale.{activation.scale!r}", np.array(activation.scale, np.float32))
        zero_point = net.constant(f"zero_point.{activation.zero_point}", np.array(activation.zero_point, np.uint8))
        key = ("static", x.name, activation)
        if key not in net.shared:
            divided = self._divide(net, x, smoothing.divisors) if smoothing else x
            net.shared[key] = net.op.QuantizeLinear(divided, scale, zero_point)
        codes, weight_scale = int8_weight(net, site, self.bits, smoothing.divisors if smoothing else None)
        return Product(
            net.ms.MatMulIntegerToFloat(net.shared[key], codes, scale, weight_scale, zero_point, None, site.bias(net))
        )

    def _divide(self, net: Net, x: ir.Value, divisors: Floats) -> ir.Value:
        return net.op.Mul(x, net.constant(f"{x.name}.smoothing", np.asarray(1 / divisors, np.float32)))
