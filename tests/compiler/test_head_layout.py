"""Padded heads against the attention they stand for, in numpy: the same numbers at every size."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from layers.compiler.head_layout import HeadLayout, Picks

LAYOUTS = [
    HeadLayout(12),
    HeadLayout(64),
    HeadLayout(80),
    HeadLayout(12, 12),
    HeadLayout(64, 64),
    HeadLayout(80, 80),
    HeadLayout(12, 4),
    HeadLayout(64, 16),
    HeadLayout(80, 20),
    HeadLayout(80, 32),
]
Floats = NDArray[np.float64]


def rotate(values: Floats, cosines: Floats, sines: Floats) -> Floats:
    """Turn the first 2 * len(cosines) values by halves."""
    half = len(cosines)
    first, second, rest = values[..., :half], values[..., half : 2 * half], values[..., 2 * half :]
    return np.concatenate([first * cosines - second * sines, second * cosines + first * sines, rest], axis=-1)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda each: f"{each.size}-{each.rotary}")
def test_sizes_are_what_the_operator_takes(layout: HeadLayout) -> None:
    assert layout.padded % (16 if layout.rotary else 8) == 0
    assert layout.half % 8 == 0
    assert sorted(place for place in layout.places if place >= 0) == list(range(layout.size))
    assert layout.padded - layout.size < 32


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda each: f"{each.size}-{each.rotary}")
def test_scores_and_outputs_do_not_change(layout: HeadLayout) -> None:
    random = np.random.default_rng(layout.size)
    heads, hidden, half = 3, 10, layout.rotary // 2
    x = random.normal(size=(7, hidden))
    fused = random.normal(size=(heads * 3 * layout.size, hidden))
    output = random.normal(size=(hidden, heads * layout.size))
    angles = random.normal(size=half)
    stride = 3 * layout.size

    def project(part: int) -> tuple[Floats, Floats]:
        true = np.concatenate([fused[h * stride + part * layout.size :][: layout.size] for h in range(heads)])
        picks = layout.picks(heads, start=part * layout.size, stride=stride)
        padded = picks.take(fused, 0)
        return (x @ true.T).reshape(7, heads, -1), (x @ padded.T).reshape(7, heads, -1)

    cosines, sines = layout.table(np.cos(angles)[None], 1.0)[0], layout.table(np.sin(angles)[None], 0.0)[0]
    turned = [
        (rotate(true, np.cos(angles), np.sin(angles)), rotate(padded, cosines, sines))
        for true, padded in (project(0), project(1))
    ]
    true, padded = (np.einsum("qhd,khd->hqk", queries, keys) for queries, keys in zip(*turned, strict=True))
    np.testing.assert_allclose(padded, true, atol=1e-12)
    value, padded_value = project(2)
    weights = np.exp(true)
    expected = np.einsum("hqk,khd->qhd", weights, value).reshape(7, -1) @ output.T
    padded_output = layout.picks(heads).take(output, 1)
    got = np.einsum("hqk,khd->qhd", weights, padded_value).reshape(7, -1) @ padded_output.T
    np.testing.assert_allclose(got, expected, rtol=1e-9)


def test_sizes_that_fit_are_left_alone() -> None:
    assert HeadLayout(64).places == tuple(range(64))
    assert HeadLayout(64, 64).places == tuple(range(64))
    assert HeadLayout(80).places == tuple(range(80))
    assert HeadLayout(64, 16).places == tuple(range(64))


def test_picks_of_minus_one_are_zeros() -> None:
    taken = Picks("", (2, -1, 0)).take(np.arange(1, 7).reshape(3, 2), 0)
    assert taken.tolist() == [[5, 6], [0, 0], [1, 2]]
