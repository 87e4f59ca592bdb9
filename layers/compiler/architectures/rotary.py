"""Rotary positions (arxiv.org/abs/2104.09864) and the ways checkpoints stretch them, as tables made at build time.

`rope_parameters` is transformers 5's: default, linear (positions divided), llama3 (long wavelengths divided),
yarn (arxiv.org/abs/2309.00071). Kinds whose angles change with a text's length (dynamic, longrope)
have no table.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from layers.compiler.head_layout import HeadLayout
from layers.compiler.net import Net
from layers.errors import UnsupportedError

Floats = NDArray[np.float32]
Rope = Mapping[str, Any]


def rotary_tables(net: Net, rope: Rope, layout: HeadLayout, longest: int, name: str = "") -> tuple[ir.Value, ir.Value]:
    """Cosines and sines [longest, layout.half] for heads of `layout`; `name` tells apart those of other layers.

    Raises UnsupportedError for a rope_type without a table.
    """
    kind = rope.get("rope_type", "default")
    if kind not in FREQUENCIES:
        raise UnsupportedError(
            f"rope_type, for {net.checkpoint.title}: got {kind!r}, expected one of {', '.join(FREQUENCIES)}. "
            "Choose a checkpoint with one of them, or add its frequencies to layers/compiler/architectures/rotary.py."
        )

    def table(function: np.ufunc, rest: float) -> ir.Value:
        def values() -> Floats:
            frequencies, factor = FREQUENCIES[kind](rope, layout.rotary)
            angles = np.outer(np.arange(longest, dtype=np.float32), frequencies)
            return layout.table(np.asarray(function(angles) * np.float32(factor), np.float32), rest)

        return net.lazy(f"rotary{name}.{function.__name__}", ir.DataType.FLOAT, (longest, layout.half), values)

    return table(np.cos, 1.0), table(np.sin, 0.0)


def inverse_frequencies(theta: float, width: int) -> Floats:
    """One frequency for each pair of rotated values [width / 2], in float32 as torch has it."""
    exponents = np.arange(0, width, 2, dtype=np.float32) / np.float32(width)
    return np.asarray(np.float32(1) / np.power(np.float32(theta), exponents), np.float32)


def _default(rope: Rope, width: int) -> tuple[Floats, float]:
    return inverse_frequencies(rope["rope_theta"], width), 1.0


def _linear(rope: Rope, width: int) -> tuple[Floats, float]:
    return inverse_frequencies(rope["rope_theta"], width) / np.float32(rope["factor"]), 1.0


def _llama3(rope: Rope, width: int) -> tuple[Floats, float]:
    """Wavelengths beyond the original context are divided, short ones kept, those between interpolated."""
    plain = inverse_frequencies(rope["rope_theta"], width)
    factor, low, high = rope["factor"], rope["low_freq_factor"], rope["high_freq_factor"]
    context = rope["original_max_position_embeddings"]
    wavelengths = 2 * math.pi / plain
    smooth = (context / wavelengths - low) / (high - low)
    between = (1 - smooth) * plain / factor + smooth * plain
    stretched = np.where(wavelengths > context / low, plain / factor, between)
    return np.asarray(np.where(wavelengths < context / high, plain, stretched), np.float32), 1.0


def _yarn(rope: Rope, width: int) -> tuple[Floats, float]:
    """Interpolated by `factor` where a pair turns seldom within the original context, kept where it turns often."""
    plain, theta = inverse_frequencies(rope["rope_theta"], width), rope["rope_theta"]
    factor, context = rope["factor"], rope["original_max_position_embeddings"]

    def dimension(rotations: float) -> float:
        return width * math.log(context / (rotations * 2 * math.pi)) / (2 * math.log(theta))

    low, high = dimension(rope.get("beta_fast") or 32), dimension(rope.get("beta_slow") or 1)
    if rope.get("truncate", True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, width - 1)
    steps = np.arange(width // 2, dtype=np.float32)
    kept = 1 - np.clip((steps - low) / ((high - low) or 0.001), 0, 1)
    frequencies = plain / factor * (1 - kept) + plain * kept
    return np.asarray(frequencies, np.float32), _yarn_attention_factor(rope)


def _yarn_attention_factor(rope: Rope) -> float:
    def scale(weight: float) -> float:
        return 1.0 if rope["factor"] <= 1 else 0.1 * weight * math.log(rope["factor"]) + 1.0

    if rope.get("attention_factor") is not None:
        return float(rope["attention_factor"])
    if rope.get("mscale") and rope.get("mscale_all_dim"):
        return scale(rope["mscale"]) / scale(rope["mscale_all_dim"])
    return scale(1)


FREQUENCIES: Mapping[str, Callable[[Rope, int], tuple[Floats, float]]] = {
    "default": _default,
    "linear": _linear,
    "llama3": _llama3,
    "yarn": _yarn,
}
