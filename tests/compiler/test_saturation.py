"""Why an artifact carries a variant of 7-bit weights: a model of AVX2's vpmaddubsw, as onnxruntime uses it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from layers.compiler.quantization import WEIGHT_LIMITS, quantize_weight, weight_scales


def exact_product(activations: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return activations.astype(np.int64) @ weights.astype(np.int64)


def avx2_product(activations: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """u8 x s8 as vpmaddubsw does it: products of neighbours are added in 16 bits, clipped at the ends."""
    rows, depth = activations.shape
    pairs = activations.astype(np.int64).reshape(rows, depth // 2, 2, 1) * weights.astype(np.int64).reshape(
        1, depth // 2, 2, -1
    )
    return np.clip(pairs.sum(axis=2), -(2**15), 2**15 - 1).sum(axis=1)


def random_problem(bits: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    weight = random.normal(size=(24, 64)).astype(np.float32)
    codes = quantize_weight(weight, weight_scales(weight, bits), bits)
    # Activations near the top of u8, as after an asymmetric range around a GELU.
    return random.integers(180, 256, size=(16, 64), dtype=np.uint8), codes.T


@pytest.mark.parametrize("signs", list(itertools.product((-1, 1), repeat=2)))
def test_seven_bits_cannot_saturate_even_at_the_extremes(signs: tuple[int, int]) -> None:
    limit = WEIGHT_LIMITS[7]
    weights = np.array([[signs[0] * limit], [signs[1] * limit]], np.int8)
    activations = np.array([[255, 255]], np.uint8)
    assert avx2_product(activations, weights) == exact_product(activations, weights)


def test_seven_bits_are_exact_on_avx2() -> None:
    activations, weights = random_problem(7)
    np.testing.assert_array_equal(avx2_product(activations, weights), exact_product(activations, weights))


def test_eight_bits_saturate_on_avx2() -> None:
    activations, weights = random_problem(8)
    assert np.any(avx2_product(activations, weights) != exact_product(activations, weights))
