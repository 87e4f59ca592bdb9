"""Labels of the request get the scores that transformers' own pipeline gives them on the same weights."""

from __future__ import annotations

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
CANDIDATES = ["sports", "naïve café", "שלום", "😀 emoji", "software library", ""]
LABELS = {
    "wordpiece": {0: "contradiction", 1: "neutral", 2: "Entailment"},
    "byte-level": {0: "ENTAILMENT", 1: "neutral", 2: "contradiction"},
    "sentencepiece": {0: "entailed", 1: "not_entailment"},
}


@pytest.fixture(scope="module", params=KINDS)
def pair(request: Any, tokenized: Callable[..., Path], compiled: Callable[[Path, str], Predictor]) -> Pair:
    """The compiled model and the pipeline."""
    checkpoint = tokenized(request.param, "sequence-classification", id2label=LABELS[request.param])
    reference = pipeline("zero-shot-classification", model=str(checkpoint), dtype=torch.float32, device="cpu")
    return compiled(checkpoint, "zero-shot-classification"), reference


def compare(got: list[dict[str, Any]], expected: dict[str, Any]) -> None:
    assert [row["label"] for row in got] == expected["labels"]
    np.testing.assert_allclose([row["score"] for row in got], expected["scores"], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("template", [None, "{}", "Ce texte parle de {}, {{vraiment}} 👍.", "{0} or {0}"])
def test_scores_are_those_of_the_pipeline(pair: Pair, multi_label: bool, template: str | None) -> None:
    predictor, reference = pair
    settings = {"multi_label": multi_label, **({"hypothesis_template": template} if template else {})}
    texts = TEXTS[1:]
    answers = predictor.predict(texts, {"candidate_labels": CANDIDATES, **settings}).value
    for text, got in zip(texts, answers, strict=True):
        compare(got, reference(text, candidate_labels=CANDIDATES, **settings))


@pytest.mark.parametrize("candidates", [["sports"], "sports, naïve café ,, software"])
def test_one_label_and_labels_with_commas(pair: Pair, candidates: Any) -> None:
    predictor, reference = pair
    got = predictor.predict(TEXTS[4], {"candidate_labels": candidates}).value
    compare(got, reference(TEXTS[4], candidate_labels=candidates))


def test_a_classifier_with_these_labels_answers_too(
    tokenized: Callable[..., Path], compiled: Callable[[Path, str], Predictor]
) -> None:
    checkpoint = tokenized("wordpiece", "sequence-classification", id2label=LABELS["wordpiece"])
    classifier = compiled(checkpoint, "text-classification")
    own = compiled(checkpoint, "zero-shot-classification")
    assert set(classifier.tasks) == set(own.tasks) == {"text-classification", "zero-shot-classification"}
    parameters = {"candidate_labels": CANDIDATES}
    expected = own.predict(TEXTS[3], parameters).value
    assert classifier.predict(TEXTS[3], parameters, task="zero-shot-classification").value == expected
    with pytest.raises(InputError, match="unknown parameter 'candidate_labels'"):
        classifier.predict(TEXTS[3], parameters)


def test_the_hypothesis_is_never_cut(pair: Pair) -> None:
    predictor, _ = pair
    parameters = {"candidate_labels": ["sports"]}
    assert predictor.predict(TEXTS[-1], parameters).truncated_tokens > 100
    with pytest.raises(InputError, match="truncating only first cannot make it fit"):
        predictor.predict("short", {**parameters, "hypothesis_template": "{} " * 1 + "library " * 80})
    with pytest.raises(InputError, match="input is too long"):
        predictor.predict(TEXTS[-1], {**parameters, "truncate": False})


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({}, "parameter 'candidate_labels'.*required"),
        ({"candidate_labels": []}, "parameter 'candidate_labels': got no label"),
        ({"candidate_labels": " , "}, "parameter 'candidate_labels': got no label"),
        ({"candidate_labels": [1]}, "parameter 'candidate_labels'"),
        ({"candidate_labels": ["a"], "hypothesis_template": "no place"}, "expected {} once"),
        ({"candidate_labels": ["a"], "hypothesis_template": "{} {}"}, "expected {} once"),
        ({"candidate_labels": ["a"], "hypothesis_template": "{"}, "parameter 'hypothesis_template': got '{'"),
        ({"candidate_labels": ["a"], "hypothesis_template": "{0.__class__}"}, "expected {} once"),
        ({"candidate_labels": ["a"], "hypothesis_template": "{:>9999999999}"}, "expected {} once"),
        ({"candidate_labels": ["a"], "hypothesis_template": "{!r}"}, "expected {} once"),
        ({"candidate_labels": ["a"], "multi_class": True}, "unknown parameter 'multi_class'"),
    ],
)
def test_parameters_that_mean_nothing_are_refused(pair: Pair, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        pair[0].predict("a text", parameters)


def test_every_pair_of_text_and_label_counts(pair: Pair) -> None:
    labels = {"candidate_labels": [f"label {number}" for number in range(5)]}
    assert len(pair[0].predict(["a", "b"], labels, max_inputs=10).value) == 2
    with pytest.raises(InputError, match="too many inputs: got 15, expected at most 10"):
        pair[0].predict(["a", "b", "c"], labels, max_inputs=10)
