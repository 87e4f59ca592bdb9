"""Tokens for hidden places equal those of transformers' own pipeline on the same weights."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import pipeline

from layers.errors import InputError
from layers.runtime.predictor import Predictor
from tests.runtime.tasks.texts import TEXTS
from tests.runtime.tasks.tokenized_checkpoints import KINDS

Pair = tuple[Predictor, Any]
SHORT = TEXTS[:-1]


@pytest.fixture(scope="module", params=KINDS)
def pair(request: Any, tokenized: Callable[..., Path], compiled: Callable[[Path, str], Predictor]) -> Pair:
    """The compiled model and the pipeline."""
    checkpoint = tokenized(request.param, "masked-lm")
    reference = pipeline("fill-mask", model=str(checkpoint), dtype=torch.float32, device="cpu")
    return compiled(checkpoint, "fill-mask"), reference


def compare(got: Any, expected: Any) -> None:
    if isinstance(expected[0], list):
        assert len(got) == len(expected)
        for own, other in zip(got, expected, strict=True):
            compare(own, other)
        return
    assert [{**row, "score": 0} for row in got] == [{**row, "score": 0} for row in expected]
    np.testing.assert_allclose([row["score"] for row in got], [row["score"] for row in expected], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("form", ["{mask} {text}", "{text} {mask}.", "it doesn't {mask}{text}, does it ?"])
def test_one_hidden_token(pair: Pair, form: str) -> None:
    predictor, reference = pair
    texts = [form.format(text=text, mask=reference.tokenizer.mask_token) for text in SHORT]
    limit = predictor.manifest.limits.max_tokens
    texts = [text for text in texts if len(reference.tokenizer.tokenize(text)) < limit - 2]
    assert len(texts) > 5
    for text, got in zip(texts, predictor.predict(texts).value, strict=True):
        compare(got, reference(text))


def test_several_hidden_tokens_are_ranked_each(pair: Pair) -> None:
    predictor, reference = pair
    mask = reference.tokenizer.mask_token
    text = f"{mask} doesn't parse {mask}{mask} café ."
    got = predictor.predict(text, {"top_k": 3}).value
    compare(got, reference(text, top_k=3))
    assert [len(row) for row in got] == [3, 3, 3]


def test_a_list_is_answered_with_a_list(pair: Pair) -> None:
    predictor, reference = pair
    text = f"a {reference.tokenizer.mask_token} library"
    assert predictor.predict([text]).value == [predictor.predict(text).value]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("targets", ["library", ["library", "the", "library"], ["unbelievable", "é", "."]])
def test_targets_are_the_only_ones(pair: Pair, targets: Any) -> None:
    predictor, reference = pair
    for form in ("a {mask} to parse things", "{mask} and {mask}"):
        text = form.format(mask=reference.tokenizer.mask_token)
        compare(predictor.predict(text, {"targets": targets}).value, reference(text, targets=targets))


def test_more_are_not_given_than_there_are(pair: Pair) -> None:
    predictor, reference = pair
    text = f"a {reference.tokenizer.mask_token} library"
    rows = predictor.predict(text, {"top_k": 1000}).value
    assert len(rows) == len(reference.tokenizer)
    assert sum(row["score"] for row in rows) == pytest.approx(1, abs=1e-4)


def test_a_long_text_is_cut_and_may_lose_its_mask(pair: Pair) -> None:
    predictor, reference = pair
    mask = reference.tokenizer.mask_token
    text = f"{mask} " + "library " * 100
    prediction = predictor.predict(text)
    compare(prediction.value, reference(text, tokenizer_kwargs={"truncation": True}))
    assert prediction.truncated_tokens > 30
    with pytest.raises(InputError, match=rf"got no mask token in the first .* expected {re.escape(mask)}"):
        predictor.predict("library " * 100 + mask)


@pytest.mark.parametrize(
    ("inputs", "parameters", "message"),
    [
        ("no place is hidden", {}, "inputs: got no mask token, expected"),
        ("{mask}", {"top_k": 0}, "parameter 'top_k': got 0"),
        ("{mask}", {"top_k": 1001}, "parameter 'top_k': got 1001"),
        ("{mask}", {"targets": []}, r"parameter 'targets': got \[\]"),
        ("{mask}", {"targets": [3]}, "parameter 'targets'"),
        ("{mask}", {"targets": ""}, "parameter 'targets': got '', which has no token"),
        ("{mask}", {"targets": "\ud800"}, "not valid Unicode"),
        ("{mask}", {"target": "a"}, "unknown parameter 'target'"),
        (3, {}, "inputs: got a number"),
    ],
)
def test_what_cannot_be_answered_is_refused(pair: Pair, inputs: Any, parameters: dict[str, Any], message: str) -> None:
    text = inputs.format(mask=pair[1].tokenizer.mask_token) if isinstance(inputs, str) else inputs
    with pytest.raises(InputError, match=message):
        pair[0].predict(text, parameters)
