"""Bad input, one kind a test: each is a 4xx that names what is wrong, and the next request is answered."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient

from layers.runtime.predictor import Predictor
from layers.runtime.settings import Settings
from layers.serving.application import create_app
from tests.serving.conftest import Serve

GOOD = b'{"inputs": "an editor"}'


def refused(client: TestClient, content: bytes, status: int, words: str, path: str = "/", **headers: str) -> None:
    answer = client.post(path, content=content, headers=headers)
    assert answer.status_code == status, answer.text
    assert words in answer.json()["error"]
    assert set(answer.json()) == {"error", "error_type"}
    assert client.get("/health").status_code == 200


@pytest.fixture
def writing(writer: Predictor, tmp_path: Any) -> TestClient:
    """An application with a model that writes."""
    return TestClient(create_app({"writer": writer}, Settings(artifact_dir=tmp_path)))


@pytest.mark.parametrize("depth", [500, 900, 5_000, 500_000])
@pytest.mark.parametrize("where", [b'{"inputs": %s}', b'{"inputs": "a", "parameters": {"top_k": %s}}', b"%s"])
def test_deep_json(serve: Serve, depth: int, where: bytes) -> None:
    client = serve("toy")
    answer = client.post("/", content=where % (b"[" * depth + b"]" * depth))
    assert answer.status_code in (400, 422)
    assert client.post("/", content=GOOD).status_code == 200


@pytest.mark.parametrize("content", [b'{"inputs": "\xff"}', b'{"inputs": "\xed\xa0\x80"}', b"\xc0\xaf"])
def test_invalid_utf8(serve: Serve, content: bytes) -> None:
    refused(serve("toy"), content, 400, "not UTF-8")


@pytest.mark.parametrize("model", ["toy", "sentences"])
def test_half_a_surrogate_pair(serve: Serve, model: str) -> None:
    refused(serve(model), b'{"inputs": "half \\ud83c of a pair"}', 422, "surrogate")
    refused(serve(model), b'{"inputs": ["good", "\\udfff"]}', 422, "surrogate")


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity"])
def test_literals_that_json_does_not_have(serve: Serve, writing: TestClient, literal: str) -> None:
    refused(serve("toy"), b'{"inputs": %s}' % literal.encode(), 400, literal)
    body = b'{"inputs": "a", "parameters": {"temperature": %s}}' % literal.encode()
    refused(writing, body, 400, literal)


@pytest.mark.parametrize("name", ["temperature", "repetition_penalty", "length_penalty"])
@pytest.mark.parametrize("number", [b"1e999", b"-1e999", b"1e308", b"-1e308", b"5e-324", b"1e-30", b"10", b"-10"])
def test_numbers_at_the_end_of_floats_do_no_harm(writing: TestClient, name: str, number: bytes) -> None:
    other = b'"num_beams": 2' if name == "length_penalty" else b'"seed": 1'
    body = b'{"inputs": "a", "parameters": {"max_new_tokens": 2, %s, "%s": %s}}' % (other, name.encode(), number)
    assert writing.post("/", content=body).status_code in (200, 422)


@pytest.mark.parametrize("content_type", ["text/html", "multipart/form-data; boundary=x", "application/xml", "x"])
def test_a_wrong_content_type_does_not_matter(serve: Serve, content_type: str) -> None:
    assert serve("toy").post("/", content=GOOD, headers={"content-type": content_type}).status_code == 200


def test_empty_lists(serve: Serve) -> None:
    refused(serve("toy"), b'{"inputs": []}', 422, "got 0 texts")
    refused(serve("sentences"), b'{"inputs": []}', 422, "got 0 texts", "/embed")
    body = b'{"inputs": {"source_sentence": "a", "sentences": []}}'
    refused(serve("sentences"), body, 422, "got 0 texts", "/models/sentences/pipeline/sentence-similarity")


def test_ten_thousand_texts(serve: Serve) -> None:
    many = json.dumps({"inputs": ["a"] * 10_000}).encode()
    refused(serve("toy"), many, 422, "got 10000, expected at most 32")
    refused(serve("sentences"), many, 422, "got 10000, expected at most 32", "/embed")
    refused(serve("toy"), json.dumps({"inputs": [["a", "b"]] * 10_000}).encode(), 422, "expected")


@pytest.mark.parametrize("digits", [19, 40, 4000])
def test_huge_integers(serve: Serve, writing: TestClient, digits: int) -> None:
    huge = b"9" * digits
    answer = serve("toy").post("/", content=b'{"inputs": "a", "parameters": {"top_k": %s}}' % huge)
    assert answer.status_code in (200, 422), "more labels than there are is all of them"
    refused(serve("sentences"), b'{"inputs": "a", "dimensions": %s}' % huge, 422, "dimensions")
    for name in ("max_new_tokens", "min_length", "top_k", "seed", "num_beams", "truncate", "no_repeat_ngram_size"):
        body = b'{"inputs": "a", "parameters": {"max_new_tokens": 2, "%s": %s}}' % (name.encode(), huge)
        body = body.replace(b'"max_new_tokens": 2, ', b"") if name == "max_new_tokens" else body
        answer = writing.post("/", content=body)
        assert answer.status_code in (200, 422), f"{name}: {answer.text}"


@pytest.mark.parametrize("model", ["toy", "sentences"])
def test_unknown_parameters_are_named(serve: Serve, model: str) -> None:
    refused(serve(model), b'{"inputs": "a", "parameters": {"tempreature": 1}}', 422, "'tempreature'")
    refused(serve(model), b'{"inputs": "a", "tempreature": 1}', 422, "'tempreature'")


def test_unknown_parameters_of_a_writer_are_named(writing: TestClient) -> None:
    refused(writing, b'{"inputs": "a", "parameters": {"tempreature": 1}}', 422, "'tempreature'")
