"""Batches of token ids to compare a graph with its reference: single, padded, at every awkward length."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from tests.compiler.checkpoints import PAD, VOCABULARY

Ids = NDArray[np.int64]


def batches(max_tokens: int, inputs: tuple[str, ...]) -> Iterator[dict[str, Ids]]:
    """Single texts of 1, 2, 7 and `max_tokens` tokens, then all of them in one padded batch."""
    lengths = (1, 2, 7, max_tokens)
    for chosen in (*((length,) for length in lengths), (7, 1, max_tokens, 2, 31)):
        yield batch(chosen, inputs)


def batch(lengths: tuple[int, ...], inputs: tuple[str, ...]) -> dict[str, Ids]:
    """Texts of these lengths. Each longer one has the padding token in its middle, attended to like any other:
    fairseq's positions skip it."""
    random = np.random.default_rng(sum(lengths))
    ids = np.full((len(lengths), max(lengths)), PAD, np.int64)
    mask = np.zeros_like(ids)
    types = np.zeros_like(ids)
    for row, length in enumerate(lengths):
        ids[row, :length] = random.integers(PAD + 1, VOCABULARY, length)
        mask[row, :length] = 1
        types[row, length // 2 : length] = 1
        if length > 4:
            ids[row, length // 3] = PAD
    feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
    return {name: feeds[name] for name in inputs}
