"""int8 with activation ranges fixed at build time: the fastest form, and rows do not depend on their neighbours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from layers.compiler.forms.weights import int8_weight
from layers.compiler.net import Net
from layers.compiler.plan import Product, Site
from layers.compiler.quantization import ActivationRange


@dataclass(frozen=True)
class Int8Static:
    """QuantizeLinear with a calibrated range, then MatMulIntegerToFloat.

    Activations are u8: with s8 activations onnxruntime 1.32 has no packed kernel (measured 60x slower).
    Projections that read the same tensor with the same range share one QuantizeLinear.
    """

    ranges: Mapping[str, ActivationRange]
    bits: int = 8

    def emit(self, net: Net, x: ir.Value, site: Site) -> Product:
        """See LinearForm."""
        activation = self.ranges[site.name]
        codes, weight_scale = int8_weight(net, site, self.bits)
        scale = net.constant(f"scale.{activation.scale!r}", np.array(activation.scale, np.float32))
        zero_point = net.constant(f"zero_point.{activation.zero_point}", np.array(activation.zero_point, np.uint8))
        key = ("static", x.name, activation)
        if key not in net.shared:
            net.shared[key] = net.op.QuantizeLinear(x, scale, zero_point)
        bias = site.bias(net)
        return Product(net.ms.MatMulIntegerToFloat(net.shared[key], codes, scale, weight_scale, zero_point, None, bias))
