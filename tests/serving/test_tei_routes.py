"""What clients of text-embeddings-inference send and read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

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
