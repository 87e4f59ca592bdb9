"""Texts to tokens and back, and one vector a token."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from layers.errors import InputError
from layers.runtime.predictor import Predictor
from tests.runtime.toy_artifact import write_toy

TEXTS = ["a chess engine", "Größe: 12 \N{MICRO SIGN}m", "e\u0301 \N{SMILING FACE WITH OPEN MOUTH}!", ""]


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    pooling = {"mode": "mean", "normalize": True, "stated": True, "dimension": 8, "prompts": {}}
    toy = write_toy(tmp_path_factory.mktemp("tokens") / "toy", task="feature-extraction", pooling=pooling)
    return Predictor.load(toy.directory, threads=1)


def test_tokens_are_parts_of_the_text(predictor: Predictor) -> None:
    prediction = predictor.predict(TEXTS, task="tokenize")
    for text, tokens in zip(TEXTS, prediction.value, strict=True):
        assert [token["id"] for token in tokens] == predictor.engine.tokenizer.encode(text).input_ids.tolist()
        assert [token["special"] for token in tokens] == [True] + [False] * (len(tokens) - 2) + [True]
        for token in tokens:
            if token["special"]:
                assert (token["start"], token["stop"]) == (None, None)
                assert token["text"].startswith("[")
            else:
                assert text[token["start"] : token["stop"]] == token["text"] != ""
    assert prediction.token_count == sum(len(tokens) for tokens in prediction.value)


def test_special_tokens_can_be_left_out(predictor: Predictor) -> None:
    [tokens] = predictor.predict(TEXTS[0], {"add_special_tokens": False}, task="tokenize").value
    assert not any(token["special"] for token in tokens)
    ids = [token["id"] for token in tokens]
    assert predictor.predict(ids, task="decode").value == [TEXTS[0]]
    assert predictor.predict([ids, ids[:1]], task="decode").value == [TEXTS[0], "a"]


def test_special_tokens_are_decoded_on_request(predictor: Predictor) -> None:
    [tokens] = predictor.predict(TEXTS[0], task="tokenize").value
    ids = [token["id"] for token in tokens]
    assert predictor.predict(ids, task="decode").value == [TEXTS[0]]
    [whole] = predictor.predict(ids, {"skip_special_tokens": False}, task="decode").value
    assert whole.startswith("[CLS]")


@pytest.mark.parametrize(
    ("task", "inputs", "message"),
    [
        ("decode", "text", "got a string"),
        ("decode", [1, "2"], "got a string among token ids"),
        ("decode", [True], "got a boolean among token ids"),
        ("decode", [1.0], "got a number among token ids"),
        ("decode", [8192], "got 8192"),
        ("decode", [10**30], "no token of this model"),
        ("decode", [-1], "got -1"),
        ("decode", [[1]] * 40, "too many inputs"),
        ("tokenize", {"a": 1}, "expected a string"),
        ("tokenize", "\ud800", "surrogate"),
        ("tokenize", [], "at least 1"),
    ],
)
def test_what_are_no_tokens_is_refused(predictor: Predictor, task: str, inputs: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        predictor.predict(inputs, task=task, max_inputs=32)


def test_every_token_has_a_vector_whatever_is_stated(predictor: Predictor) -> None:
    [vectors] = predictor.predict(TEXTS[0], task="embed_all").value
    [pooled] = predictor.predict(TEXTS[0], {"normalize": False}, task="embed").value
    np.testing.assert_allclose(np.mean(vectors, axis=0), pooled, rtol=1e-5)
    with pytest.raises(InputError, match="not pooled"):
        predictor.predict(TEXTS[0], {"dimensions": 2}, task="embed_all")


def test_a_classifier_has_tokens_and_no_vectors(tmp_path: Path) -> None:
    classifier = Predictor.load(write_toy(tmp_path / "toy").directory, threads=1)
    assert classifier.predict("a", task="tokenize").value
    with pytest.raises(InputError) as refusal:
        classifier.predict("a", task="embed_all")
    assert refusal.value.error_type == "unknown_task"
