"""Cuts keep what transformers' warpers keep; draws follow the distribution and their seed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.generation import logits_process as reference

from layers.errors import ModelOutputError
from layers.runtime.generation import filters
from layers.runtime.generation.options import DecodingOptions
from layers.runtime.generation.sampling import TokenChooser, draw

HISTORY = np.array([1, 2, 3])


def random_scores(seed: int, size: int, spread: float) -> Any:
    return (np.random.default_rng(seed).standard_normal(size) * spread).astype(np.float32)


def kept_by_reference(warper: Any, scores: Any) -> Any:
    return np.isfinite(warper(None, torch.from_numpy(scores.copy())[None])[0].numpy())


def cut(name: str, value: float, scores: Any) -> Any:
    if name == "top_k":
        return filters.top_k(scores, int(value * 50) + 1)
    return getattr(filters, name)(scores, value)


def warper(name: str, value: float) -> Any:
    if name == "top_k":
        return reference.TopKLogitsWarper(int(value * 50) + 1)
    made = {"top_p": reference.TopPLogitsWarper, "min_p": reference.MinPLogitsWarper}
    return (made | {"typical_p": reference.TypicalLogitsWarper})[name](value)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.sampled_from([1, 2, 50, 3000, 20_000]),
    spread=st.sampled_from([0.01, 1.0, 4.0, 12.0]),
    value=st.sampled_from([0.05, 0.313, 0.5, 0.77, 0.9, 0.95, 0.999]),
)
@pytest.mark.parametrize("name", ["top_k", "top_p", "min_p", "typical_p"])
def test_cuts_keep_what_transformers_keeps(name: str, seed: int, size: int, spread: float, value: float) -> None:
    scores = random_scores(seed, size, spread)
    kept, expected = cut(name, value, scores), kept_by_reference(warper(name, value), scores)
    differing = np.flatnonzero(kept != expected)
    # A token may stand within rounding of the border, sums of float32 being taken in another order: then it is one
    # that a slightly different value would keep or cut.
    margin = 1e-5 * size**0.5
    moved = cut(name, min(value + margin, 0.9999), scores) != cut(name, value - margin, scores)
    assert moved[differing].all()
    assert name != "top_k" or not len(differing)
    assert len(differing) <= 2 or filters.softmax(scores)[differing].sum() <= margin


def test_a_chain_of_cuts_is_transformers_chain() -> None:
    options = DecodingOptions(
        max_new_tokens=1, do_sample=True, temperature=0.7, top_k=40, top_p=0.9, min_p=0.02, typical_p=0.8,
        top_tokens=1000,
    )  # fmt: skip
    chain = reference.LogitsProcessorList(
        [
            reference.TemperatureLogitsWarper(0.7), reference.TopKLogitsWarper(40), reference.TopPLogitsWarper(0.9),
            reference.MinPLogitsWarper(0.02), reference.TypicalLogitsWarper(0.8),
        ]
    )  # fmt: skip
    for seed in range(20):
        scores = random_scores(seed, 500, 3.0)
        expected = torch.log_softmax(chain(None, torch.from_numpy(scores.copy())[None])[0], -1).numpy()
        choice = TokenChooser(options, 3).choose(HISTORY, scores.copy())
        assert {token for token, _ in choice.top} == set(np.flatnonzero(np.isfinite(expected)).tolist())
        for token, logprob in choice.top:
            assert logprob == pytest.approx(float(expected[token]), abs=1e-5)
        assert choice.logprob == pytest.approx(float(expected[choice.token]), abs=1e-5)
        assert [logprob for _, logprob in choice.top] == sorted((value for _, value in choice.top), reverse=True)


@pytest.mark.parametrize("settings_", [{}, {"top_k": 4}, {"top_p": 0.8}, {"temperature": 2.0}])
def test_draws_follow_the_distribution(settings_: dict[str, Any]) -> None:
    scores = np.log(np.array([0.4, 0.3, 0.1, 0.1, 0.06, 0.04], dtype=np.float32))
    options = DecodingOptions(max_new_tokens=1, do_sample=True, seed=7, top_tokens=6, **settings_)
    chooser = TokenChooser(options, 3)
    draws = [chooser.choose(HISTORY, scores.copy()) for _ in range(20_000)]
    counts = np.bincount([draw.token for draw in draws], minlength=6) / len(draws)
    expected = np.zeros(6)
    for token, logprob in draws[0].top:
        expected[token] = np.exp(logprob)
    np.testing.assert_allclose(counts, expected, atol=0.015)
    again = TokenChooser(options, 3)
    assert [again.choose(HISTORY, scores.copy()).token for _ in range(50)] == [draw.token for draw in draws[:50]]


def test_greedy_logprobs_are_of_the_processed_scores() -> None:
    scores = random_scores(3, 100, 2.0)
    options = DecodingOptions(max_new_tokens=1, repetition_penalty=1.5, logprobs=True, top_tokens=3)
    choice = TokenChooser(options, 3).choose(HISTORY, scores.copy())
    processed = reference.RepetitionPenaltyLogitsProcessor(1.5)(
        torch.from_numpy(HISTORY)[None], torch.from_numpy(scores.copy())[None]
    )
    expected = torch.log_softmax(processed[0], -1)
    assert choice.token == int(expected.argmax())
    assert choice.logprob == pytest.approx(float(expected.max()), abs=1e-5)
    assert [token for token, _ in choice.top] == expected.topk(3).indices.tolist()
    assert TokenChooser(DecodingOptions(max_new_tokens=1), 3).choose(HISTORY, scores).logprob is None


@pytest.mark.parametrize("do_sample", [False, True])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_scores_that_are_none_are_an_error(value: float, do_sample: bool) -> None:
    scores = np.full(10, -np.inf if value == -np.inf else 0.0, dtype=np.float32)
    scores[4] = value
    with pytest.raises(ModelOutputError, match="no token can be"):
        TokenChooser(DecodingOptions(max_new_tokens=1, do_sample=do_sample), 3).choose(HISTORY, scores)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), size=st.sampled_from([1, 5, 256, 257, 1000]), share=st.floats(0, 1, exclude_max=True))
def test_a_draw_is_where_the_running_sum_says(data: st.DataObject, size: int, share: float) -> None:
    random = np.random.default_rng(data.draw(st.integers(0, 1000)))
    weights = random.random(size).astype(np.float32) * (random.random(size) < 0.5)
    weights[data.draw(st.integers(0, size - 1))] = 1
    place, total = draw(weights, share)
    cumulative = np.cumsum(weights, dtype=np.float64)
    assert total == pytest.approx(cumulative[-1])
    assert weights[place] > 0
    before = cumulative[place - 1] if place else 0.0
    assert before - 1e-9 <= share * total <= cumulative[place] + 1e-9


def test_a_draw_at_the_very_end_is_possible() -> None:
    weights = np.zeros(600, dtype=np.float32)
    weights[[3, 260]] = 1
    assert draw(weights, float(np.nextafter(1.0, 0.0)))[0] == 260
    assert draw(weights, 0.0)[0] == 3
