"""Entities equal those of transformers' own pipeline on the same weights, whatever the tokenizer and the text."""

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
from tests.runtime.tasks.texts import LONG, TEXTS
from tests.runtime.tasks.tokenized_checkpoints import KINDS

LABELS = {0: "O", 1: "B-PER", 2: "I-PER", 3: "B-LOC", 4: "I-LOC", 5: "MISC"}
STRATEGIES = ("none", "simple", "first", "average", "max")

Pair = tuple[Predictor, Any]


@pytest.fixture(scope="module", params=KINDS)
def pair(request: Any, tokenized: Callable[..., Path], compiled: Callable[[Path, str], Predictor]) -> Pair:
    """The compiled model and the pipeline."""
    checkpoint = tokenized(request.param, "token-classification", id2label=LABELS)
    reference = pipeline("token-classification", model=str(checkpoint), dtype=torch.float32, device="cpu")
    return compiled(checkpoint, "token-classification"), reference


def compare(got: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    assert [{**entity, "score": 0} for entity in got] == [{**entity, "score": 0} for entity in expected]
    np.testing.assert_allclose([e["score"] for e in got], [e["score"] for e in expected], rtol=1e-3, atol=1e-5)


@pytest.mark.filterwarnings("ignore:Tokenizer does not support real words")
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_entities_are_those_of_the_pipeline(pair: Pair, strategy: str) -> None:
    predictor, reference = pair
    answers = predictor.predict(TEXTS, {"aggregation_strategy": strategy, "ignore_labels": []}).value
    assert sum(map(len, answers)) > 50
    for text, got in zip(TEXTS, answers, strict=True):
        compare(got, reference(text, aggregation_strategy=strategy, ignore_labels=[]))


@pytest.mark.filterwarnings("ignore:Tokenizer does not support real words")
@pytest.mark.parametrize("strategy", STRATEGIES[1:])
@pytest.mark.parametrize("stride", [0, 7, 30])
def test_long_texts_are_read_in_parts(pair: Pair, strategy: str, stride: int) -> None:
    predictor, reference = pair
    prediction = predictor.predict(LONG, {"aggregation_strategy": strategy, "stride": stride})
    compare(prediction.value, reference(LONG, aggregation_strategy=strategy, stride=stride))
    assert prediction.value[-1]["end"] > len(LONG) - 60
    assert prediction.truncated_tokens == 0


@pytest.mark.filterwarnings("ignore:Tokenizer does not support real words")
@pytest.mark.parametrize("kind", KINDS)
def test_parts_begin_where_the_tokenizer_does_not_cut(
    kind: str,
    tokenized: Callable[..., Path],
    compiled: Callable[[Path, str], Predictor],
    cut_from_the_left: Callable[[Path], Path],
) -> None:
    checkpoint = tokenized(kind, "token-classification", id2label=LABELS)
    left = cut_from_the_left(checkpoint)
    reference = pipeline("token-classification", model=str(left), dtype=torch.float32, device="cpu")
    assert reference.tokenizer.truncation_side == "left"
    predictor = compiled(left, "token-classification")
    answers = []
    for stride in (0, 7, 30):
        settings = {"aggregation_strategy": "simple", "stride": stride, "ignore_labels": []}
        answers.append(predictor.predict(LONG, settings).value)
        compare(answers[-1], reference(LONG, **settings))
        asked = {**settings, "truncation_direction": "left"}
        compare(compiled(checkpoint, "token-classification").predict(LONG, asked).value, answers[-1])


def test_simple_is_the_default_and_o_is_left_out(pair: Pair) -> None:
    predictor, reference = pair
    for text in TEXTS:
        compare(predictor.predict(text).value, reference(text, aggregation_strategy="simple"))


@pytest.mark.parametrize(("strategy", "ignored"), [("simple", ["PER", "O"]), ("none", ["B-PER", "MISC"])])
def test_labels_can_be_ignored(pair: Pair, strategy: str, ignored: list[str]) -> None:
    predictor, reference = pair
    settings = {"aggregation_strategy": strategy, "ignore_labels": ignored}
    compare(predictor.predict(LONG, settings).value, reference(LONG, **settings))


def test_what_is_cut_is_counted(pair: Pair) -> None:
    predictor, _ = pair
    cut = predictor.predict(LONG, {"ignore_labels": []})
    assert cut.truncated_tokens > 100
    assert cut.value[0]["start"] == 0
    left = predictor.predict(LONG, {"ignore_labels": [], "truncation_direction": "left"})
    assert left.value[-1]["end"] >= len(LONG) - 1
    with pytest.raises(InputError, match="input is too long"):
        predictor.predict(LONG, {"truncate": False})


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"aggregation_strategy": "longest"}, "parameter 'aggregation_strategy': got 'longest'"),
        ({"aggregation_strategy": "none", "stride": 4}, "contradict each other: stride is given"),
        ({"stride": 63}, "parts of the text share 63 tokens"),
        ({"stride": 400}, "parameter 'stride': got 400, expected fewer than"),
        ({"stride": -1}, "parameter 'stride': got -1"),
        ({"ignore_labels": "O"}, "parameter 'ignore_labels': got 'O'"),
        ({"entity": 1}, "unknown parameter 'entity': expected one of .*aggregation_strategy"),
    ],
)
def test_parameters_that_mean_nothing_are_refused(pair: Pair, parameters: dict[str, Any], message: str) -> None:
    if parameters.get("stride") == 63 and pair[0].manifest.limits.max_tokens > 65:
        parameters, message = {"stride": 65}, message.replace("63", "65")
    with pytest.raises(InputError, match=message):
        pair[0].predict(LONG, parameters)


@pytest.mark.parametrize("inputs", [None, 3, [3], {"text": "a"}, []])
def test_inputs_of_another_shape_are_refused(pair: Pair, inputs: Any) -> None:
    with pytest.raises(InputError, match="inputs"):
        pair[0].predict(inputs)


def test_too_many_parts_are_refused(pair: Pair) -> None:
    with pytest.raises(InputError, match="expected at most 256 parts"):
        pair[0].predict("library " * 3000, {"stride": 60})
