"""int8 with one activation range per row, found at run time: needs no calibration, and rows stay independent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from layers.compiler.axes.row_ranges import ROW_RANGES
from layers.compiler.forms.weights import int8_weight
from layers.compiler.net import Net
from layers.compiler.plan import Product, Site


@dataclass(frozen=True)
class Int8Row:
    """Each row is divided by its own peak, rounded to u8 around 128, and multiplied back after the product.

    Costs 7 to 23% over fixed ranges (benchmarks/operators.py), since the peaks are one more pass over the activations.
    """

    bits: int = 8

    def emit(self, net: Net, x: ir.Value, site: Site) -> Product:
        """See LinearForm."""
        codes, weight_scale = int8_weight(net, site, self.bits)
        quantized, peak = self._quantize(net, x)
        step = net.constant("1/127", np.array(1 / 127, np.float32))
        middle = net.constant("zero_point.128", np.array(128, np.uint8))
        product = net.ms.MatMulIntegerToFloat(quantized, codes, step, weight_scale, middle)
        return Product(net.op.Mul(product, peak), site.bias(net))

    def _quantize(self, net: Net, x: ir.Value) -> tuple[ir.Value, ir.Value]:
        """[..., in_features] -> u8 of the same shape and peaks [..., 1]; shared by readers of the same tensor."""
        if ("row", x.name) not in net.shared:
            net.shared["row", x.name], net.shared["row_peak", x.name] = net.operator(ROW_RANGES)(net, x)
        return net.shared["row", x.name], net.shared["row_peak", x.name]
