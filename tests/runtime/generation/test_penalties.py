"""Each processor against transformers' own, on random scores and histories."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.generation import logits_process as reference

from layers.runtime.generation import penalties
from layers.runtime.generation.options import DecodingOptions

VOCABULARY = 60


def scores_and_history(seed: int, length: int, tokens: int = VOCABULARY) -> tuple[Any, Any]:
    random = np.random.default_rng(seed)
    return random.standard_normal(VOCABULARY).astype(np.float32) * 5, random.integers(0, tokens, length)


def by_reference(processor: Any, history: Any, scores: Any) -> Any:
    return processor(torch.from_numpy(history)[None], torch.from_numpy(scores.copy())[None])[0].numpy()


PAIRS = {
    "repetition": (penalties.RepetitionPenalty(1.3), reference.RepetitionPenaltyLogitsProcessor(1.3)),
    "repetition rewarded": (penalties.RepetitionPenalty(0.7), reference.RepetitionPenaltyLogitsProcessor(0.7)),
    "1-gram": (penalties.NoRepeatNgram(1), reference.NoRepeatNGramLogitsProcessor(1)),
    "2-gram": (penalties.NoRepeatNgram(2), reference.NoRepeatNGramLogitsProcessor(2)),
    "3-gram": (penalties.NoRepeatNgram(3), reference.NoRepeatNGramLogitsProcessor(3)),
    "bad words": (
        penalties.BadWords([[3], [7, 1], [1, 2, 3], [5]], [5]),
        reference.NoBadWordsLogitsProcessor([[3], [7, 1], [1, 2, 3], [5]], [5]),
    ),
    "min length": (penalties.MinLength(6, [4, 9]), reference.MinLengthLogitsProcessor(6, [4, 9])),
    "min new tokens": (penalties.MinLength(3 + 4, [4]), reference.MinNewTokensLengthLogitsProcessor(3, 4, [4])),
    "forced bos": (penalties.Forced(8, 1), reference.ForcedBOSTokenLogitsProcessor(8)),
    "forced eos": (penalties.Forced(8, 7 - 1), reference.ForcedEOSTokenLogitsProcessor(7, 8)),
    "suppress": (penalties.Suppress([0, 59]), reference.SuppressTokensLogitsProcessor([0, 59])),
}


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), length=st.integers(1, 12), tokens=st.sampled_from([3, 10, VOCABULARY]))
@pytest.mark.parametrize("name", PAIRS)
def test_as_transformers(name: str, seed: int, length: int, tokens: int) -> None:
    ours, theirs = PAIRS[name]
    scores, history = scores_and_history(seed, length, tokens)
    expected = by_reference(theirs, history, scores)
    np.testing.assert_array_equal(ours(history, scores.copy()), expected)


def test_what_is_left_is_normalized() -> None:
    scores, history = scores_and_history(0, 3)
    scores[[4, 7]] = -np.inf
    expected = by_reference(reference.LogitNormalization(), history, scores)
    np.testing.assert_allclose(penalties.Normalized()(history, scores), expected, rtol=1e-5)


def test_tokens_beyond_the_scores_are_left_out() -> None:
    scores, _ = scores_and_history(0, 1)
    history = np.array([1, VOCABULARY + 3, 1, VOCABULARY + 3])
    for name in ("repetition", "1-gram", "2-gram"):
        ours, theirs = PAIRS[name]
        np.testing.assert_array_equal(ours(history, scores.copy()), by_reference(theirs, history, scores))


def test_occurrences_are_counted_after_the_prompt() -> None:
    history = np.array([5, 5, 5, 1, 2, 1])
    scores = np.zeros(VOCABULARY, dtype=np.float32)
    changed = penalties.OccurrencePenalty(0.5, 0.25, prompt_length=3)(history, scores)
    assert changed[[1, 2, 5]].tolist() == [-1.25, -0.75, 0.0]


def test_the_order_is_that_of_transformers() -> None:
    options = DecodingOptions(
        max_new_tokens=5, repetition_penalty=1.1, frequency_penalty=0.1, no_repeat_ngram_size=2, min_length=3,
        bad_words_ids=((1,),), min_new_tokens=2, forced_bos_token_id=1, forced_eos_token_id=2, suppress_tokens=(3,),
        eos_token_ids=(2,), num_beams=2, renormalize_logits=True,
    )  # fmt: skip
    names = [type(processor).__name__ for processor in penalties.processors_for(options, 4)]
    assert names == [
        "RepetitionPenalty", "OccurrencePenalty", "NoRepeatNgram", "BadWords", "MinLength", "MinLength", "Forced",
        "Forced", "Suppress", "Normalized",
    ]  # fmt: skip
    for nothing in (DecodingOptions(max_new_tokens=5), DecodingOptions(max_new_tokens=5, renormalize_logits=True)):
        assert penalties.processors_for(nothing, 4) == []
