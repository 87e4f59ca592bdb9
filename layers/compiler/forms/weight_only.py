"""8-bit weights in blocks with their own scales; activations are rounded block by block inside the product."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from layers.compiler.net import Net
from layers.compiler.plan import EXACT_LINEAR, Product, Site

# int8 arithmetic inside MatMulNBits (onnxruntime's accuracy_level; 1 would be fp32).
INT8_COMPUTE = 4


@dataclass(frozen=True)
class WeightOnly:
    """MatMulNBits. Sites whose in_features the block does not divide stay fp32."""

    block: int = 128

    def emit(self, net: Net, x: ir.Value, site: Site) -> Product:
        """See LinearForm."""
        if site.in_features % self.block:
            return EXACT_LINEAR.emit(net, x, site)
        blocks = site.in_features // self.block
        name = f"{site.key}.block{self.block}"
        codes = net.lazy(
            name, ir.DataType.UINT8, (site.out_features, blocks, self.block), lambda: self._codes(site.read_weight())[0]
        )
        scales = net.lazy(
            f"{name}.scale",
            ir.DataType.FLOAT,
            (site.out_features * blocks,),
            lambda: self._codes(site.read_weight())[1],
        )
        product = net.ms.MatMulNBits(
            x,
            codes,
            scales,
            None,
            None,
            site.bias(net),
            K=site.in_features,
            N=site.out_features,
            bits=8,
            block_size=self.block,
            accuracy_level=INT8_COMPUTE,
        )
        return Product(product)

    def _codes(self, weight: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        blocks = weight.reshape(weight.shape[0], -1, self.block)
        scales = np.maximum(np.abs(blocks).max(axis=2) / 127, np.finfo(np.float32).tiny)
        codes = np.clip(np.rint(blocks / scales[:, :, None]), -127, 127) + 128
        return codes.astype(np.uint8), scales.astype(np.float32).reshape(-1)
