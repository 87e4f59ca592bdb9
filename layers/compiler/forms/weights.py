"""int8 weights as initializers, in the [in_features, out_features] layout that onnxruntime's products take."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from layers.compiler.net import Net
from layers.compiler.plan import Site
from layers.compiler.quantization import quantize_weight, weight_scales


def int8_weight(net: Net, site: Site, bits: int) -> tuple[ir.Value, ir.Value]:
    """The site's codes [in_features, out_features] and its scales [out_features]."""
    name = f"{site.key}.int{bits}"
    scales = net.lazy(
        f"{name}.scale", ir.DataType.FLOAT, (site.out_features,), lambda: weight_scales(site.read_weight(), bits)
    )

    def codes() -> np.ndarray[tuple[int, ...], np.dtype[np.int8]]:
        weight = site.read_weight()
        return np.ascontiguousarray(quantize_weight(weight, weight_scales(weight, bits), bits).T)

    return net.lazy(name, ir.DataType.INT8, (site.in_features, site.out_features), codes), scales
