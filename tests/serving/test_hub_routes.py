"""What Hugging Face's clients send, and what they read from the answer."""

from __future__ import annotations

import numpy as np
import pytest

from layers.runtime.predictor import Predictor
from tests.serving.conftest import Serve


def test_classification_is_nested(serve: Serve) -> None:
    client = serve("toy")
    answer = client.post("/", json={"inputs": "an editor", "parameters": {}})
    assert answer.status_code == 200
    [ranking] = answer.json()
    assert set(ranking[0]) == {"label", "score"}
    assert sum(entry["score"] for entry in ranking) == pytest.approx(1)


def test_one_text_is_answered_as_in_a_list(serve: Serve) -> None:
    client = serve("toy")
    texts = ["an editor", "networking tools for python", ""]
    together = client.post("/", json={"inputs": texts}).json()
    alone = [client.post("/", json={"inputs": text}).json()[0] for text in texts]
    for one, other in zip(alone, together, strict=True):
        assert [entry["label"] for entry in one] == [entry["label"] for entry in other]
        np.testing.assert_allclose([e["score"] for e in one], [e["score"] for e in other], rtol=1e-5)


def test_floats_come_back_as_the_model_gave_them(serve: Serve, predictors: dict[str, Predictor]) -> None:
    answer = serve("sentences").post("/", json={"inputs": ["an editor", "tools"]})
    assert answer.json() == predictors["sentences"].predict(["an editor", "tools"]).value


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded"])
def test_the_content_type_does_not_matter(serve: Serve, content_type: str | None) -> None:
    headers = {"content-type": content_type} if content_type else {}
    assert serve("toy").post("/", content=b'{"inputs": "an editor"}', headers=headers).status_code == 200


def test_options_of_embeddings_stand_at_the_root(serve: Serve) -> None:
    client = serve("sentences")
    body = {"inputs": "an editor", "normalize": True, "dimensions": 3, "truncate": True, "prompt_name": "query"}
    [vector] = client.post("/", json=body).json()
    assert len(vector) == 3
    assert np.linalg.norm(vector) == pytest.approx(1)


def test_options_of_the_older_api_are_accepted(serve: Serve) -> None:
    body = {"inputs": "an editor", "options": {"use_cache": False, "wait_for_model": True}}
    assert serve("toy").post("/", json=body).status_code == 200


def test_models_are_called_by_name(serve: Serve) -> None:
    client = serve("toy", "encoder")
    assert client.post("/models/toy", json={"inputs": "an editor"}).status_code == 200
    similarity = client.post(
        "/models/encoder/pipeline/sentence-similarity",
        json={"inputs": {"source_sentence": "an editor", "sentences": ["an editor", "tools"]}, "parameters": {}},
    )
    assert similarity.json()[0] == pytest.approx(1)


def test_several_models_have_no_default(serve: Serve) -> None:
    answer = serve("toy", "encoder").post("/", json={"inputs": "an editor"})
    assert answer.status_code == 404
    assert answer.json()["error_type"] == "unknown_model"
    assert "toy (text-classification), encoder (feature-extraction)" in answer.json()["error"]


@pytest.mark.parametrize("path", ["/models/bert", "/models/bert/pipeline/text-classification"])
def test_an_unknown_model_is_named(serve: Serve, path: str) -> None:
    answer = serve("toy").post(path, json={"inputs": "an editor"})
    assert answer.status_code == 404
    assert "unknown model 'bert'" in answer.json()["error"]


def test_a_task_that_the_model_does_not_answer_is_named(serve: Serve) -> None:
    answer = serve("toy").post("/models/toy/pipeline/summarization", json={"inputs": "an editor"})
    assert answer.status_code == 404
    assert answer.json() == {
        "error": "toy answers text-classification: got task 'summarization'.",
        "error_type": "unknown_task",
    }


def test_a_models_own_url_has_info_and_health(serve: Serve) -> None:
    client = serve("toy", "encoder")
    assert client.get("/models/encoder/info").json()["served_model_name"] == "encoder"
    assert client.get("/models/encoder/health").status_code == 200
    assert client.get("/models/bert/health").status_code == 404
