"""How texts of different lengths share runs of a graph. Pure functions on lengths; no arrays, no session."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

Result = TypeVar("Result")

# A further run costs about as much as this many padding tokens in one that is already running.
RUN_COST_TOKENS = 16
# Where a model reads on a processor, what a layer hands on to the next should fit the cache: benchmarks/run_sizes.py.
# Where it writes, more rows together read the weights fewer times.
READING_TOKENS = 1024
MOST_TOKENS = 4096


def usual_batch_tokens(*, on_card: bool, writes: bool) -> int:
    """Most tokens of one run, padding included, where no setting says otherwise."""
    return MOST_TOKENS if on_card or writes else READING_TOKENS


def plan_batches(lengths: Sequence[int], *, max_batch_size: int, max_batch_tokens: int) -> list[list[int]]:
    """Cut the positions 0..n-1 of `lengths` into batches, longest first, that pad as little as pays.

    A batch holds at most `max_batch_size` texts and at most `max_batch_tokens` tokens with padding; a
    text longer than that is a batch of its own. Among all cuts of the texts sorted by length, the one
    with the least padded tokens plus `RUN_COST_TOKENS` a run is taken.
    """
    if len(set(lengths)) == 1 and len(lengths) <= max_batch_size and sum(lengths) <= max_batch_tokens:
        return [list(range(len(lengths)))]
    order = sorted(range(len(lengths)), key=lambda position: -lengths[position])
    cost = [0] + [0] * len(order)
    start_of_last = [0] * (len(order) + 1)
    for end in range(1, len(order) + 1):
        best: int | None = None
        for start in range(end - 1, max(-1, end - 1 - max_batch_size), -1):
            padded = lengths[order[start]] * (end - start)
            if padded > max_batch_tokens and end - start > 1:
                break
            candidate = cost[start] + padded + RUN_COST_TOKENS
            if best is None or candidate <= best:
                best, start_of_last[end] = candidate, start
        cost[end] = best if best is not None else 0
    batches: list[list[int]] = []
    end = len(order)
    while end:
        batches.append(order[start_of_last[end] : end])
        end = start_of_last[end]
    return batches[::-1]


def in_caller_order(batches: Sequence[Sequence[int]], results: Sequence[Sequence[Result]]) -> list[Result]:
    """The results of planned batches, put back where their texts stood."""
    placed = {
        position: result
        for batch, batch_results in zip(batches, results, strict=True)
        for position, result in zip(batch, batch_results, strict=True)
    }
    return [placed[position] for position in range(len(placed))]
