"""What clients of text-embeddings-inference send and read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from layers.runtime.predictor import Predictor
from layers.runtime.settings import Settings
from layers.serving.application import create_app
from tests.runtime.toy_artifact import Toy, write_toy
from tests.serving.conftest import Serve

INFO_FIELDS = {
    "model_id", "model_sha", "model_dtype", "served_model_name", "model_type", "max_concurrent_requests",
    "max_input_length", "max_batch_tokens", "max_batch_requests", "max_client_batch_size", "auto_truncate",
    "tokenization_workers", "version", "sha", "docker_label",
}  # fmt: skip


@pytest.mark.parametrize("model", ["encoder", "sentences"])
def test_embed_always_pools_and_normalizes(serve: Serve, model: str) -> None:
    client = serve(model)
    for inputs in ("an editor", ["an editor"]):
        [vector] = client.post("/embed", json={"inputs": inputs}).json()
        assert np.linalg.norm(vector) == pytest.approx(1)
    [raw] = client.post("/embed", json={"inputs": "an editor", "normalize": False}).json()
    np.testing.assert_allclose(np.array(raw) / np.linalg.norm(raw), vector, rtol=1e-5)


def test_embed_finds_the_only_model_that_can(serve: Serve) -> None:
    assert serve("toy", "encoder").post("/embed", json={"inputs": "an editor"}).status_code == 200
    assert serve("toy").post("/embed", json={"inputs": "an editor"}).json()["error_type"] == "unknown_task"
    assert serve("encoder", "sentences").post("/embed", json={"inputs": "an editor"}).status_code == 404


@pytest.mark.parametrize("inputs", ["an editor", ["an editor", "for text"]])
def test_predict_answers_one_input_with_every_label(serve: Serve, inputs: Any) -> None:
    ranking = serve("toy").post("/predict", json={"inputs": inputs}).json()
    assert {entry["label"] for entry in ranking} == {"admin", "libs", "net", "python"}


def test_predict_answers_several_inputs_nested(serve: Serve) -> None:
    client = serve("toy")
    nested = client.post("/predict", json={"inputs": [["an editor"], ["an editor", "for text"]]}).json()
    assert nested[0] == client.post("/predict", json={"inputs": "an editor"}).json()
    assert nested[1] == client.post("/predict", json={"inputs": ["an editor", "for text"]}).json()


def test_raw_scores_are_logits(serve: Serve) -> None:
    client = serve("toy")
    ranking = client.post("/predict", json={"inputs": "an editor", "raw_scores": True}).json()
    body = {"inputs": "an editor", "parameters": {"function_to_apply": "none", "top_k": None}}
    assert [ranking] == client.post("/", json=body).json()


@pytest.mark.parametrize("inputs", [[], [[]], ["a", "b", "c"], [["a", 1]], [3], 3, {"text": "a"}])
def test_predict_refuses_other_shapes(serve: Serve, inputs: Any) -> None:
    assert serve("toy").post("/predict", json={"inputs": inputs}).status_code == 422


def test_info_has_teis_fields(serve: Serve) -> None:
    info = serve("toy").get("/info").json()
    assert set(info) >= INFO_FIELDS
    assert info["model_type"]["classifier"]["id2label"]["3"] == "python"
    assert info["max_input_length"] == 32
    assert serve("encoder").get("/info").json()["model_type"] == {"embedding": {"pooling": "mean"}}


def test_info_says_that_one_label_ranks(tmp_path: Path) -> None:
    ranker = Predictor.load(write_toy(tmp_path / "ranker", labels=("relevance",)).directory, threads=1)
    info = TestClient(create_app({"ranker": ranker}, Settings(artifact_dir=tmp_path))).get("/info").json()
    assert info["model_type"] == {"reranker": {"id2label": {"0": "relevance"}, "label2id": {"relevance": 0}}}


def test_info_tells_how_large_batches_are(serve: Serve, artifacts: dict[str, Toy], writer: Predictor) -> None:
    assert serve("toy").get("/info").json()["max_batch_tokens"] == 1024
    settings = Settings(artifact_dir=artifacts["toy"].directory)
    assert TestClient(create_app({"writer": writer}, settings)).get("/info").json()["max_batch_tokens"] == 4096
    told = Settings(artifact_dir=artifacts["toy"].directory, max_batch_tokens=77)
    predictor = Predictor.load(artifacts["toy"].directory, **told.load_options())
    assert TestClient(create_app({"toy": predictor}, told)).get("/info").json()["max_batch_tokens"] == 77


def test_info_of_several_models_is_by_name(serve: Serve) -> None:
    assert set(serve("toy", "encoder").get("/info").json()["models"]) == {"toy", "encoder"}


def test_info_reports_the_caches(serve: Serve) -> None:
    client = serve("toy")
    before = client.get("/info").json()["caches"]["encodings"]
    for _ in range(3):
        client.post("/", json={"inputs": "a text that no other test sends", "options": {"use_cache": False}})
    after = client.get("/info").json()["caches"]["encodings"]
    assert (after["hits"] - before["hits"], after["misses"] - before["misses"]) == (2, 1)


@pytest.mark.parametrize("path", ["/health", "/ping"])
def test_health_is_200(serve: Serve, path: str) -> None:
    assert serve("toy").get(path).status_code == 200


def test_the_root_describes_what_is_served(serve: Serve) -> None:
    description = serve("toy").get("/").json()
    assert description["models"]["toy"]["task"] == "text-classification"
    assert {"POST /", "POST /embed", "POST /models/{name}"} <= set(description["routes"])


def test_the_schema_says_what_bodies_hold(serve: Serve) -> None:
    paths = serve("toy").get("/openapi.json").json()["paths"]
    schema = paths["/embed"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert schema["required"] == ["inputs"]
    assert "normalize" in schema["properties"]


def test_embed_all_gives_every_token_its_vector(serve: Serve) -> None:
    client = serve("encoder")
    [vectors] = client.post("/embed_all", json={"inputs": "an editor"}).json()
    assert [vectors] == client.post("/", json={"inputs": ["an editor"]}).json()
    assert serve("toy").post("/embed_all", json={"inputs": "an editor"}).json()["error_type"] == "unknown_task"


@pytest.mark.parametrize("path", ["/embed", "/embed_all"])
def test_token_ids_stand_for_their_text(serve: Serve, path: str) -> None:
    client = serve("encoder")
    [tokens] = client.post("/tokenize", json={"inputs": "an editor"}).json()
    ids = [token["id"] for token in tokens]
    of_text = client.post(path, json={"inputs": "an editor"}).json()
    for inputs in (ids, [ids], ids[1:-1]):
        assert client.post(path, json={"inputs": inputs}).json() == of_text


def test_token_ids_are_counted_once(serve: Serve) -> None:
    client = serve("encoder")
    [tokens] = client.post("/tokenize", json={"inputs": "an editor"}).json()
    ids = [token["id"] for token in tokens]
    of_text = client.post("/embed", json={"inputs": "an editor"})
    answer = client.post("/models/encoder/pipeline/embed", json={"inputs": [ids, ids]})
    assert answer.json() == of_text.json() * 2
    counts = [[int(each.headers[f"x-compute-{what}"]) for what in ("texts", "tokens")] for each in (of_text, answer)]
    assert counts == [[1, len(ids)], [2, 2 * len(ids)]]


def test_too_many_token_ids_are_refused_before_they_are_read(artifacts: dict[str, Toy]) -> None:
    settings = Settings(artifact_dir=artifacts["encoder"].directory)
    predictor = Predictor.load(artifacts["encoder"].directory, **settings.load_options())
    ids = [[0] * 70_000, [0] * 70_000]
    client = TestClient(create_app({"encoder": predictor}, settings))
    error = client.post("/embed", json={"inputs": ids}).json()["error"]
    assert error == "too many tokens: got 140000 in all inputs, expected at most 131072. Send them in parts."


def test_similarity_is_one_cosine_a_sentence(serve: Serve) -> None:
    body = {"inputs": {"source_sentence": "an editor", "sentences": ["an editor", "tools"]}, "parameters": {}}
    similarity = serve("encoder").post("/similarity", json=body).json()
    assert similarity[0] == pytest.approx(1)
    assert len(similarity) == 2


def test_tokens_there_and_back(serve: Serve) -> None:
    client = serve("toy")
    tokens = client.post("/tokenize", json={"inputs": ["an editor", "net"], "add_special_tokens": False}).json()
    ids = [[token["id"] for token in several] for several in tokens]
    assert client.post("/decode", json={"ids": ids}).json() == ["an editor", "net"]
    assert client.post("/decode", json={"ids": ids[0]}).json() == ["an editor"]
    assert client.post("/models/toy/pipeline/tokenize", json={"inputs": "net"}).status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/decode", {}, "expected ids"),
        ("/decode", {"ids": ["a"]}, "got a string among token ids"),
        ("/decode", {"ids": [1], "skip": 1}, "unknown parameter 'skip'"),
        ("/tokenize", {"inputs": "a", "add": 1}, "unknown parameter 'add'"),
        ("/rerank", {"texts": ["a"]}, "no model here answers 'rerank'"),
    ],
)
def test_what_tokens_and_ranks_are_not_made_of_is_refused(serve: Serve, path: str, body: Any, message: str) -> None:
    assert message in serve("toy").post(path, json=body).json()["error"]


def test_every_operation_of_the_schema_has_an_example_and_its_errors(serve: Serve) -> None:
    paths = serve("toy").get("/openapi.json").json()["paths"]
    posts = {path: methods["post"] for path, methods in paths.items() if "post" in methods}
    assert {"/", "/embed", "/v1/completions", "/models/{name}/v1/chat/completions"} <= set(posts)
    for operation in posts.values():
        content = operation["requestBody"]["content"]["application/json"]
        for example in content["examples"].values():
            assert set(content["schema"]["required"]) <= set(example["value"]) <= set(content["schema"]["properties"])
        assert {"200", "400", "404", "413", "429", "500"} <= set(operation["responses"])
