"""What is left of a distribution to sample from: the cuts that transformers calls logits warpers.

A cut takes scores [n] and says which of them stay, bool [n]. What is cut has probability 0, so every later cut works
on the scores that are left, and a sort is paid only for those.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from layers.runtime.generation.options import DecodingOptions
from layers.runtime.generation.penalties import Scores

BLOCK = 64

Kept = npt.NDArray[np.bool_]
Cut = Callable[[Scores], Kept]


def softmax(scores: Scores) -> npt.NDArray[np.float32]:
    """Probabilities [n]; -inf is 0."""
    exponentials: npt.NDArray[np.float32] = np.exp(scores - scores.max())
    exponentials /= exponentials.sum()
    return exponentials


def top_k(scores: Scores, k: int) -> Kept:
    """`TopKLogitsWarper` (arXiv:1805.04833): the k highest; all that equal the last of them stay."""
    if k >= len(scores):
        return np.ones(len(scores), dtype=np.bool_)
    kept: Kept
    whole = len(scores) // BLOCK * BLOCK
    if whole > 4 * BLOCK * k:
        # k blocks have a score of at least the k-th highest of the blocks' maxima; so few others reach it that finding
        # the k highest among them costs nothing: 50 of 50,257 in 40 microseconds, where a partition of all takes 250.
        bound = _kth_highest(scores[:whole].reshape(-1, BLOCK).max(axis=1), k)
        bound = _kth_highest(scores[scores >= bound], k)
    else:
        bound = _kth_highest(scores, k)
    kept = scores >= bound
    return kept


def _kth_highest(scores: Scores, k: int) -> np.float32:
    bound: np.float32 = np.partition(scores, len(scores) - k)[len(scores) - k]
    return bound


def top_p(scores: Scores, p: float) -> Kept:
    """`TopPLogitsWarper` (arXiv:1904.09751): the likeliest whose probabilities first exceed p; at least one.

    Tokens as likely as the last of them all stay, where transformers cuts some of them in no stated order.
    """
    probabilities = softmax(scores)
    # All tokens below this share add up to less than 1 - p, so they are cut whatever their order: no sort for them.
    share = (1 - p) / len(scores)
    values = np.sort(probabilities[probabilities >= share])
    cumulative = np.cumsum(values, dtype=np.float64) + max(0.0, 1.0 - float(values.sum(dtype=np.float64)))
    cut = min(int(np.searchsorted(cumulative, 1 - p, side="right")), len(values) - 1)
    kept: Kept = probabilities >= values[cut]
    return kept


def min_p(scores: Scores, p: float) -> Kept:
    """`MinPLogitsWarper` (arXiv:2407.01082): those at least p times as likely as the likeliest."""
    probabilities = softmax(scores)
    kept: Kept = probabilities >= np.float32(p) * probabilities.max()
    return kept


def typical_p(scores: Scores, mass: float) -> Kept:
    """`TypicalLogitsWarper` (arXiv:2202.00666): those whose surprise is closest to the entropy, up to `mass`."""
    logs = scores - scores.max()
    logs -= np.log(np.exp(logs).sum())
    probabilities = np.exp(logs)
    with np.errstate(invalid="ignore"):  # 0 times -inf, of what was never possible
        entropy = -np.nansum(logs * probabilities)
    distance = np.abs(-logs - entropy)
    # Tokens less likely than this are farther from the entropy than `reach`: what lies within it is often enough.
    reach = -np.log((1 - mass) / len(scores)) - entropy
    near = np.flatnonzero(distance <= reach)
    if float(probabilities[near].sum(dtype=np.float64)) <= mass:
        near = np.arange(len(scores))
    order = near[np.argsort(distance[near])]
    cumulative = np.cumsum(probabilities[order], dtype=np.float64)
    last = min(int((cumulative < mass).sum()), len(order) - 1)
    kept: Kept = distance <= distance[order[last]]
    kept[order[0]] = True
    return kept


def cuts_for(options: DecodingOptions) -> list[Cut]:
    """Those that `options` ask for, in the order of transformers' `_get_logits_processor`."""
    wanted: list[tuple[Any, Cut]] = [
        (options.top_k, lambda scores: top_k(scores, options.top_k)),
        (options.top_p < 1.0, lambda scores: top_p(scores, options.top_p)),
        (options.min_p, lambda scores: min_p(scores, options.min_p)),
        (options.typical_p < 1.0, lambda scores: typical_p(scores, options.typical_p)),
    ]
    return [cut for asked, cut in wanted if asked]
