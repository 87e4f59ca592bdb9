"""Rankings equal what the unmodified model says of each pair, through text-embeddings-inference's post-processing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from layers.errors import InputError
from layers.runtime.predictor import Predictor
from tests.runtime.tasks.texts import TEXTS
from tests.runtime.tasks.tokenized_checkpoints import KINDS, reference_model

QUERIES = ["what is a library to parse things", "où est l'été? 👍🏽 שלום"]


@pytest.fixture(scope="module", params=KINDS)
def checkpoint(request: Any, tokenized: Callable[..., Path]) -> Path:
    """A cross-encoder: one label."""
    return tokenized(request.param, "sequence-classification", id2label={0: "LABEL_0"})


@pytest.fixture(scope="module")
def predictor(checkpoint: Path, compiled: Callable[[Path, str], Predictor]) -> Predictor:
    return compiled(checkpoint, "rerank")


def expected_logits(checkpoint: Path, query: str, texts: list[str], side: str = "right") -> list[float]:
    """The model's number for each pair, one at a time."""
    tokenizer: Any = AutoTokenizer.from_pretrained(checkpoint, truncation_side=side)
    model = reference_model("sequence-classification", checkpoint)
    with torch.inference_mode():
        pairs = [tokenizer([(query, text)], truncation=True, return_tensors="pt") for text in texts]
        return [float(model(**pair).logits[0, 0]) for pair in pairs]


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("raw", [False, True])
def test_texts_are_ranked_by_the_models_own_number(
    checkpoint: Path, predictor: Predictor, query: str, raw: bool
) -> None:
    logits = np.array(expected_logits(checkpoint, query, TEXTS))
    got = predictor.predict({"query": query, "texts": TEXTS}, {"raw_scores": raw}).value
    assert [set(entry) for entry in got] == [{"index", "score"}] * len(TEXTS)
    assert sorted(entry["index"] for entry in got) == list(range(len(TEXTS)))
    scores = logits if raw else 1 / (1 + np.exp(-logits))
    np.testing.assert_allclose([e["score"] for e in got], [scores[e["index"]] for e in got], rtol=1e-3, atol=1e-4)
    assert [e["score"] for e in got] == sorted((e["score"] for e in got), reverse=True)


def test_texts_come_back_where_they_are_wanted(predictor: Predictor) -> None:
    got = predictor.predict({"query": "q", "texts": TEXTS}, {"return_text": True}).value
    assert all(entry["text"] == TEXTS[entry["index"]] for entry in got)


def test_the_side_that_is_cut_can_be_chosen(checkpoint: Path, predictor: Predictor) -> None:
    logits = expected_logits(checkpoint, QUERIES[0], TEXTS, side="left")
    parameters = {"raw_scores": True, "truncation_direction": "Left"}
    prediction = predictor.predict({"query": QUERIES[0], "texts": TEXTS}, parameters)
    assert prediction.truncated_tokens > 0
    for entry in prediction.value:
        assert entry["score"] == pytest.approx(logits[entry["index"]], rel=1e-3, abs=1e-4)


def test_equal_texts_keep_their_order(predictor: Predictor) -> None:
    got = predictor.predict({"query": "q", "texts": ["same", "same", "same"]}).value
    assert [entry["index"] for entry in got] == [0, 1, 2]


def test_a_classifier_with_one_label_answers_too(
    checkpoint: Path, predictor: Predictor, compiled: Callable[[Path, str], Predictor]
) -> None:
    classifier = compiled(checkpoint, "text-classification")
    assert classifier.tasks == predictor.tasks == ("text-classification", "rerank")
    inputs = {"query": QUERIES[0], "texts": TEXTS}
    assert classifier.predict(inputs, task="rerank").value == predictor.predict(inputs).value


@pytest.mark.parametrize(
    ("inputs", "parameters", "message"),
    [
        ("text", {}, 'inputs: got a string, expected {"query"'),
        ({"query": "q"}, {}, r"inputs: got the keys \['query'\]"),
        ({"query": 3, "texts": ["a"]}, {}, "inputs.query: got a number"),
        ({"query": "q", "texts": "a"}, {}, "inputs.texts: got a string, expected a list"),
        ({"query": "q", "texts": ["a", 3]}, {}, r"inputs.texts\[1\]: got a number"),
        ({"query": "q", "texts": []}, {}, "inputs is empty"),
        ({"query": "q", "texts": ["a"] * 5}, {}, "too many inputs: got 5, expected at most 4"),
        ({"query": "q", "texts": ["a"]}, {"raw_score": True}, "unknown parameter 'raw_score'"),
        ({"query": "q", "texts": ["a " * 90]}, {"truncate": False}, "input is too long"),
    ],
)
def test_what_cannot_be_answered_is_refused(
    predictor: Predictor, inputs: Any, parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        predictor.predict(inputs, parameters, max_inputs=4)
