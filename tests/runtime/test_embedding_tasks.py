"""Vectors: pooled or a token each, cut, scaled, prompted and compared."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from layers.errors import InputError
from layers.runtime.predictor import Predictor
from tests.runtime.toy_artifact import HIDDEN, Toy, write_toy

TEXTS = ["an editor", "networking tools for python", ""]


@pytest.fixture(scope="module")
def bare(encoder: Toy) -> Predictor:
    return Predictor.load(encoder.directory, threads=1)


@pytest.fixture(scope="module")
def pooled(sentences: Toy) -> Predictor:
    return Predictor.load(sentences.directory, threads=1)


def expected_vector(toy: Toy, predictor: Predictor, text: str) -> Any:
    encoding = predictor.engine.tokenizer.encode(text)
    return toy.vector(encoding.input_ids, encoding.token_type_ids)


def test_a_bare_encoder_gives_a_vector_a_token(encoder: Toy, bare: Predictor) -> None:
    encoding = bare.engine.tokenizer.encode("an editor")
    value = bare.predict("an editor").value
    np.testing.assert_allclose(value, encoder.table[encoding.input_ids] + encoder.types[0], rtol=1e-6)


def test_a_bare_encoder_answers_a_list_with_a_list(bare: Predictor) -> None:
    value = bare.predict(TEXTS).value
    assert [np.shape(vectors) for vectors in value] == [(4, HIDDEN), (6, HIDDEN), (2, HIDDEN)]


def test_a_stated_pooling_gives_a_vector_a_text(sentences: Toy, pooled: Predictor) -> None:
    for inputs in ("an editor", ["an editor"]):
        value = pooled.predict(inputs).value
        np.testing.assert_allclose(value, [expected_vector(sentences, pooled, "an editor")], rtol=1e-5)


def test_normalized_vectors_have_length_one(pooled: Predictor) -> None:
    value = pooled.predict(TEXTS, {"normalize": True}).value
    np.testing.assert_allclose(np.linalg.norm(value, axis=1), 1, rtol=1e-6)


def test_a_stated_normalization_is_the_default(tmp_path: Path) -> None:
    pooling = {"mode": "mean", "normalize": True, "stated": True, "dimension": 8}
    toy = write_toy(tmp_path / "toy", task="feature-extraction", pooling=pooling)
    predictor = Predictor.load(toy.directory, threads=1)
    vector = expected_vector(toy, predictor, "an editor")
    np.testing.assert_allclose(predictor.predict("an editor").value, [vector / np.linalg.norm(vector)], rtol=1e-5)
    np.testing.assert_allclose(predictor.predict("an editor", {"normalize": False}).value, [vector], rtol=1e-5)


def test_embed_pools_and_normalizes_by_default(encoder: Toy, bare: Predictor) -> None:
    vector = expected_vector(encoder, bare, "an editor")
    value = bare.predict("an editor", task="embed").value
    np.testing.assert_allclose(value, [vector / np.linalg.norm(vector)], rtol=1e-5)
    value = bare.predict("an editor", {"normalize": False}, task="embed").value
    np.testing.assert_allclose(value, [vector], rtol=1e-5)


def test_dimensions_are_cut_before_scaling(sentences: Toy, pooled: Predictor) -> None:
    first = expected_vector(sentences, pooled, "an editor")[:3]
    value = pooled.predict("an editor", {"dimensions": 3, "normalize": True}).value
    np.testing.assert_allclose(value, [first / np.linalg.norm(first)], rtol=1e-5)


def test_a_prompt_goes_before_the_text(pooled: Predictor) -> None:
    prompted = pooled.predict("an editor", {"prompt_name": "query"}).value
    assert prompted == pooled.predict("search for an editor").value


def test_base64_holds_the_same_floats(pooled: Predictor) -> None:
    [encoded] = pooled.predict("an editor", {"encoding_format": "base64"}).value
    assert np.frombuffer(base64.b64decode(encoded), "<f4").tolist() == pooled.predict("an editor").value[0]


@pytest.mark.parametrize("name", ["bare", "pooled"])
def test_similarity_is_the_cosine(request: pytest.FixtureRequest, name: str) -> None:
    predictor: Predictor = request.getfixturevalue(name)
    inputs = {"source_sentence": "an editor", "sentences": ["an editor", *TEXTS[1:]]}
    source, *others = predictor.predict(["an editor", *inputs["sentences"]], {"normalize": True}, task="embed").value
    value = predictor.predict(inputs, task="sentence-similarity").value
    np.testing.assert_allclose(value, np.array(others) @ np.array(source), rtol=1e-5)
    assert value[0] == pytest.approx(1)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"dimensions": 9}, "'dimensions': got 9, expected at most 8"),
        ({"dimensions": 0}, "'dimensions': got 0"),
        ({"prompt_name": "passage"}, "'prompt_name': got 'passage', expected one of query"),
        ({"normalise": True}, "unknown parameter 'normalise': expected one of .*normalize"),
        ({"normalize": "yes"}, "'normalize': got 'yes'"),
        ({"encoding_format": "hex"}, "'encoding_format': got 'hex'"),
    ],
)
def test_parameters_that_mean_nothing_are_refused(pooled: Predictor, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        pooled.predict("an editor", parameters)


@pytest.mark.parametrize("parameters", [{"normalize": True}, {"dimensions": 3}, {"prompt_name": "query"}])
def test_a_bare_encoder_refuses_what_needs_pooling(bare: Predictor, parameters: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(parameters))):
        bare.predict("an editor", parameters)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ("an editor", "inputs: got a string, expected"),
        ({"source_sentence": "a"}, r"inputs: got the keys \['source_sentence'\]"),
        ({"source_sentence": 1, "sentences": ["a"]}, "source_sentence: got a number"),
        ({"source_sentence": "a", "sentences": "a"}, "sentences: got a string"),
        ({"source_sentence": "a", "sentences": ["a", None]}, r"sentences\[1\]: got null"),
        ({"source_sentence": "a", "sentences": []}, "inputs is empty"),
    ],
)
def test_similarity_of_other_shapes_is_refused(pooled: Predictor, inputs: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        pooled.predict(inputs, task="sentence-similarity")
