"""Smoothing moves outlier channels from activations into weights, and changes nothing that is exact."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from layers.compiler.calibration import Calibration, SiteSample
from layers.compiler.plan import Site
from layers.compiler.quantization import product_error
from layers.compiler.smoothing import smooth

RANDOM = np.random.default_rng(0)
WIDTH = 64


def sample_with_outliers() -> SiteSample:
    rows = RANDOM.normal(size=(200, WIDTH)).astype(np.float32)
    rows[:, [3, 40]] *= 60
    return SiteSample(rows, rows.min(axis=0), rows.max(axis=0))


def site(name: str, weight: NDArray[np.float32], key: str | None = None) -> Site:
    return Site(name, name, key or name, weight.shape[1], weight.shape[0], lambda: weight, None)


def weight() -> NDArray[np.float32]:
    return RANDOM.normal(size=(32, WIDTH)).astype(np.float32)


def test_outliers_cost_less_once_they_are_divided_away() -> None:
    sample, matrix = sample_with_outliers(), weight()
    calibration = Calibration({"a": sample}, {"a": site("a", matrix)}, ())
    found = smooth(calibration)["a"]
    np.testing.assert_allclose(
        (sample.rows / found.divisors) @ (matrix * found.divisors).T, sample.rows @ matrix.T, rtol=1e-3, atol=1e-2
    )
    plain = product_error(sample.rows, matrix, sample.range(), 8)
    smoothed = product_error(sample.rows / found.divisors, matrix * found.divisors, found.activations, 8)
    assert smoothed < plain / 4


def test_readers_of_one_tensor_share_their_divisors() -> None:
    sample = sample_with_outliers()
    sites = {name: site(name, weight()) for name in ("query", "key", "value")}
    found = smooth(Calibration(dict.fromkeys(sites, sample), sites, ()))
    assert found["query"] is found["key"] is found["value"]


def test_weights_that_are_used_twice_stay_as_they_are() -> None:
    matrix = weight()
    sites = {"layer": site("layer", matrix, "shared"), "layer#2": site("layer#2", matrix, "shared")}
    samples = {name: sample_with_outliers() for name in sites}
    assert smooth(Calibration(samples, sites, ())) == {}
