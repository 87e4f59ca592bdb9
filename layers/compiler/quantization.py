"""The arithmetic of int8: weights per output channel, activation ranges, error. Numpy only, no graph."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

# u8 x s8 pairs are added in 16 bits on x86-64 without VNNI (vpmaddubsw): 2 * 255 * 63 = 32,130 fits
# below 32,767, 2 * 255 * 127 does not. So 7-bit weights cannot saturate anywhere.
WEIGHT_LIMITS = {8: 127, 7: 63}


@dataclass(frozen=True)
class ActivationRange:
    """The interval of a tensor that u8 covers; real = (code - zero_point) * scale."""

    scale: float
    zero_point: int

    @classmethod
    def covering(cls, low: float, high: float) -> ActivationRange:
        """The range that covers [low, high] and holds 0 exactly, as padding and ReLU need."""
        low, high = min(low, 0.0), max(high, 0.0)
        scale = max((high - low) / 255.0, float(np.finfo(np.float32).tiny))
        return cls(scale, round(-low / scale))

    def round_trip(self, values: Floats) -> Floats:
        """The values as they come back after quantization."""
        codes = np.clip(np.rint(values / self.scale) + self.zero_point, 0, 255)
        return np.asarray((codes - self.zero_point) * self.scale, np.float32)


def weight_scales(weight: Floats, bits: int) -> Floats:
    """One scale per output channel of `weight` [out_features, in_features]; symmetric."""
    peak = np.abs(weight).max(axis=1)
    return np.asarray(np.maximum(peak / WEIGHT_LIMITS[bits], np.finfo(np.float32).tiny), np.float32)


def quantize_weight(weight: Floats, scales: Floats, bits: int) -> NDArray[np.int8]:
    """`weight` [out_features, in_features] as int8 codes of the same shape."""
    limit = WEIGHT_LIMITS[bits]
    return np.asarray(np.clip(np.rint(weight / scales[:, None]), -limit, limit), np.int8)


def best_range(values: Floats) -> ActivationRange:
    """The range with the least squared error over a sample of values (clipping some may gain more than it loses).

    The sample must hold the extremes, or clipping looks free.
    """
    low, high = float(values.min()), float(values.max())
    candidates = [ActivationRange.covering(low * share, high * share) for share in np.linspace(1.0, 0.4, 25)]
    errors = [float(np.square(c.round_trip(values) - values, dtype=np.float64).mean()) for c in candidates]
    return candidates[int(np.argmin(errors))]


def product_error(inputs: Floats, weight: Floats, activations: ActivationRange, bits: int) -> float:
    """Noise over signal of `inputs @ weight.T` when both are quantized; inputs [rows, in_features]."""
    scales = weight_scales(weight, bits)
    quantized = quantize_weight(weight, scales, bits).astype(np.float32) * scales[:, None]
    exact = inputs @ weight.T
    noise = activations.round_trip(inputs) @ quantized.T - exact
    return float(np.square(noise).mean() / max(np.square(exact).mean(), 1e-30))
