"""8-bit or 4-bit weights in blocks with their own scales; activations are rounded block by block inside the product."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from layers.compiler.axes.blocks import BLOCKS
from layers.compiler.net import Net
from layers.compiler.plan import EXACT_LINEAR, Product, Site

# int8 arithmetic inside MatMulNBits (onnxruntime's accuracy_level; 1 would be fp32).
INT8_COMPUTE = 4


@dataclass(frozen=True)
class WeightOnly:
    """MatMulNBits. Sites whose in_features the block does not divide stay fp32.

    `accuracy` is onnxruntime's accuracy_level; without `takes_bias` the bias is left to whoever asked.
    """

    block: int = 128
    bits: int = 8
    accuracy: int = INT8_COMPUTE
    takes_bias: bool = True

    def emit(self, net: Net, x: ir.Value, site: Site) -> Product:
        """See LinearForm."""
        return self.chosen(net).product(net, x, site)

    def product(self, net: Net, x: ir.Value, site: Site) -> Product:
        """The product, with blocks as they are here."""
        if site.in_features % self.block:
            return EXACT_LINEAR.emit(net, x, site)
        codes, scales = self.initializers(net, site.key, (site.out_features, site.in_features), site.read_weight)
        product = net.ms.MatMulNBits(
            x,
            codes,
            scales,
            None,
            None,
            site.bias(net) if self.takes_bias else None,
            K=site.in_features,
            N=site.out_features,
            bits=self.bits,
            block_size=self.block,
            accuracy_level=self.accuracy,
        )
        return Product(product)

    def chosen(self, net: Net) -> WeightOnly:
        """The same, with the plan's block where that is free."""
        return replace(self, block=net.operator(BLOCKS)(self.block)) if self.bits == 8 else self

    def initializers(
        self, net: Net, key: str, shape: tuple[int, int], read: Callable[[], NDArray[np.float32]]
    ) -> tuple[ir.Value, ir.Value]:
        """Codes [rows, blocks, bytes of a block] and scales [rows, blocks] of a matrix `shape` = [rows, columns].

        One pair per `key`, so that a table tied to the vocabulary's product is in the file once.
        """
        rows, columns = shape
        blocks = columns // self.block
        name = f"{key}.int{self.bits}.block{self.block}"
        packed = (rows, blocks, self.block * self.bits // 8)
        return (
            net.lazy(name, ir.DataType.UINT8, packed, lambda: self._codes(read())[0]),
            net.lazy(f"{name}.scale", ir.DataType.FLOAT, (rows, blocks), lambda: self._codes(read())[1]),
        )

    def _codes(self, weight: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        blocks = weight.reshape(weight.shape[0], -1, self.block)
        if self.bits == 4:
            return self._four_bit_codes(blocks)
        scales = np.maximum(np.abs(blocks).max(axis=2) / 127, np.finfo(np.float32).tiny)
        codes = np.clip(np.rint(blocks / scales[:, :, None]), -127, 127) + 128
        return codes.astype(np.uint8), scales.astype(np.float32)

    def _four_bit_codes(self, blocks: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Two codes a byte, the first in the low half; 8 stands for 0.

        The value farthest from 0 becomes -8 exactly, so that all 16 codes serve its side, unless 7 steps fit better.
        """
        far = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=2)[:, :, None], axis=2)[:, :, 0]
        candidates = [far / -8, np.abs(far) / 7]
        errors, kept = [], []
        for scale in candidates:
            scale = np.where(scale == 0, np.finfo(np.float32).tiny, scale).astype(np.float32)
            codes = np.clip(np.rint(blocks / scale[:, :, None]), -8, 7)
            errors.append(np.square(codes * scale[:, :, None] - blocks).sum(axis=2))
            kept.append((codes + 8, scale))
        first = errors[0] <= errors[1]
        codes = np.where(first[:, :, None], kept[0][0], kept[1][0]).astype(np.uint8)
        scales = np.where(first, kept[0][1], kept[1][1])
        return codes[:, :, 0::2] | (codes[:, :, 1::2] << 4), scales.astype(np.float32)
