"""int8 with one activation range for the whole tensor, found at run time: onnxruntime's own dynamic product.

A row's answer depends on its neighbours in the batch, so variants made of it are served one text a call.
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from layers.compiler.forms.weights import int8_weight
from layers.compiler.net import Net
from layers.compiler.plan import Product, Site


@dataclass(frozen=True)
class Int8Dynamic:
    """DynamicQuantizeMatMul with s8 weights per channel (u8 weights ran 1.7 to 2.3 times slower on VNNI)."""

    bits: int = 8

    def emit(self, net: Net, x: ir.Value, site: Site) -> Product:
        """See LinearForm."""
        codes, weight_scale = int8_weight(net, site, self.bits)
        return Product(net.ms.DynamicQuantizeMatMul(x, codes, weight_scale, None, site.bias(net)))
