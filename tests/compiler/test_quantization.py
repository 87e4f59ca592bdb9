"""The arithmetic of int8, by its properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from layers.compiler.quantization import ActivationRange, best_range, product_error, quantize_weight, weight_scales

finite = st.floats(-1e4, 1e4, width=32)
matrices = hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=24), elements=finite)


@pytest.mark.parametrize("bits", [7, 8])
@given(weight=matrices)
def test_weights_come_back_within_half_a_step(bits: int, weight: np.ndarray) -> None:
    scales = weight_scales(weight, bits)
    restored = quantize_weight(weight, scales, bits) * scales[:, None]
    assert np.all(np.abs(restored - weight) <= scales[:, None] * 0.501)


@given(low=finite, high=finite)
def test_a_range_holds_zero_exactly_and_both_ends(low: float, high: float) -> None:
    low, high = sorted((low, high))
    found = ActivationRange.covering(low, high)
    ends = found.round_trip(np.array([low, 0.0, high], np.float32))
    assert 0 <= found.zero_point <= 255
    assert ends[1] == 0.0
    assert abs(ends[0] - low) <= found.scale
    assert abs(ends[2] - high) <= found.scale


def test_the_best_range_clips_a_lone_outlier_of_many_values() -> None:
    values = np.random.default_rng(0).normal(size=200_000).astype(np.float32)
    values[0] = 12.0
    assert best_range(values).scale < ActivationRange.covering(values.min(), 12.0).scale


def test_the_best_range_of_uniform_values_covers_them() -> None:
    values = np.linspace(-3, 5, 10_000, dtype=np.float32)
    assert best_range(values).scale == pytest.approx(8 / 255, rel=0.05)


def test_seven_bits_are_noisier_than_eight() -> None:
    random = np.random.default_rng(0)
    rows, weight = random.normal(size=(64, 48)).astype(np.float32), random.normal(size=(32, 48)).astype(np.float32)
    activations = best_range(rows.ravel())
    eight, seven = product_error(rows, weight, activations, 8), product_error(rows, weight, activations, 7)
    assert 0 < eight < seven < 1e-3
