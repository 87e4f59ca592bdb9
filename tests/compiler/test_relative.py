"""Relative positions against transformers' own bucket functions, at every distance."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers.models.deberta_v2.modeling_deberta_v2 import make_log_bucket_position
from transformers.models.mpnet.modeling_mpnet import MPNetEncoder

from layers.compiler.architectures.deberta_v2 import log_buckets
from layers.compiler.architectures.modernbert import rotary_angles
from layers.compiler.architectures.mpnet import buckets
from layers.compiler.architectures.relative import distances

# From one token to four times the length of any of these models.
LONGEST = 2048


def test_distances_of_a_table() -> None:
    np.testing.assert_array_equal(distances(3), [-2, -1, 0, 1, 2, 3])


def test_mpnet_buckets_at_every_distance() -> None:
    away = np.arange(LONGEST)[None, :] - np.arange(LONGEST)[:, None]
    expected = MPNetEncoder.relative_position_bucket(torch.from_numpy(away), num_buckets=32)
    np.testing.assert_array_equal(buckets(away), expected.numpy())


@pytest.mark.parametrize(("count", "furthest"), [(256, 512), (256, 2048), (32, 128), (16, 67), (8, 300), (100, 1000)])
def test_deberta_buckets_at_every_distance(count: int, furthest: int) -> None:
    away = np.arange(furthest)[None, :] - np.arange(furthest)[:, None]
    expected = make_log_bucket_position(torch.from_numpy(away), count, furthest)
    np.testing.assert_array_equal(log_buckets(away, count, furthest), expected.to(torch.long).numpy())


def test_rotary_angles_are_torchs() -> None:
    frequencies = 1.0 / (160_000.0 ** (torch.arange(0, 64, 2, dtype=torch.float) / 64))
    expected = torch.arange(8192)[:, None].float() * frequencies
    # One unit in the last place of a frequency is what two ways to raise a power may differ by.
    np.testing.assert_allclose(rotary_angles(160_000.0, 64, 8192), expected.numpy(), rtol=3e-7)
