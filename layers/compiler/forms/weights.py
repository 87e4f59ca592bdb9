"""int8 weights as initializers, in the [in_features, out_features] layout that onnxruntime's products take."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from layers.compiler.net import Net
from layers.compiler.plan import Site
from layers.compiler.quantization import Floats, quantize_weight, weight_scales


def int8_weight(net: Net, site: Site, bits: int, factors: Floats | None = None) -> tuple[ir.Value, ir.Value]:
    """The site's codes [in_features, out_features] and its scales [out_features].

    `factors` [in_features] multiply the weights first, for activations that were divided by them.
    """

    def weight() -> Floats:
        return site.read_weight() if factors is None else site.read_weight() * factors

    def scales() -> Floats:
        return weight_scales(weight(), bits)

    def codes() -> NDArray[np.int8]:
        exact = weight()
        return np.ascontiguousarray(quantize_weight(exact, weight_scales(exact, bits), bits).T)

    name = f"{site.key}.{'int' if factors is None else 'smooth.int'}{bits}"
    return (
        net.lazy(name, ir.DataType.INT8, (site.in_features, site.out_features), codes),
        net.lazy(f"{name}.scale", ir.DataType.FLOAT, (site.out_features,), scales),
    )
