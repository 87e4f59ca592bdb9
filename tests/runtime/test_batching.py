"""Batches: every text once, back in order, padded no more than pays."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from layers.runtime.batching import RUN_COST_TOKENS, in_caller_order, plan_batches

LENGTHS = st.lists(st.integers(1, 512), max_size=40)


@given(LENGTHS, st.integers(1, 8), st.integers(1, 600))
def test_every_text_is_in_one_batch_within_the_limits(lengths: list[int], size: int, tokens: int) -> None:
    batches = plan_batches(lengths, max_batch_size=size, max_batch_tokens=tokens)
    assert sorted(position for batch in batches for position in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) <= size
        assert len(batch) == 1 or max(lengths[position] for position in batch) * len(batch) <= tokens


@given(LENGTHS)
def test_results_come_back_in_the_callers_order(lengths: list[int]) -> None:
    batches = plan_batches(lengths, max_batch_size=4, max_batch_tokens=512)
    results = [[lengths[position] for position in batch] for batch in batches]
    assert in_caller_order(batches, results) == lengths


@given(LENGTHS)
def test_no_cut_costs_more_than_one_text_a_run_or_all_in_one(lengths: list[int]) -> None:
    batches = plan_batches(lengths, max_batch_size=64, max_batch_tokens=64 * 512)
    cost = sum(max(lengths[p] for p in batch) * len(batch) + RUN_COST_TOKENS for batch in batches)
    assert cost <= sum(lengths) + RUN_COST_TOKENS * len(lengths)
    assert cost <= max(lengths, default=0) * len(lengths) + RUN_COST_TOKENS


def test_a_long_text_does_not_pad_short_ones() -> None:
    assert plan_batches([8, 500, 8, 8], max_batch_size=32, max_batch_tokens=4096) == [[1], [0, 2, 3]]


def test_texts_of_a_length_share_a_run() -> None:
    assert plan_batches([12, 12, 12], max_batch_size=32, max_batch_tokens=4096) == [[0, 1, 2]]


def test_a_text_over_the_budget_runs_alone() -> None:
    assert plan_batches([100, 100], max_batch_size=32, max_batch_tokens=50) == [[0], [1]]
