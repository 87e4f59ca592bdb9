"""A model that writes, behind the same routes."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from layers.runtime.predictor import Predictor
from layers.runtime.settings import Settings
from layers.serving.application import create_app
from tests.runtime.generation.toy_decoder import write_toy_decoder


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    directory = tmp_path_factory.mktemp("writer") / "writer"
    write_toy_decoder(directory)
    predictor = Predictor.load(directory, threads=1)
    settings = Settings(artifact_dir=directory)
    return TestClient(create_app({predictor.manifest.name: predictor}, settings), raise_server_exceptions=False)


def test_a_text_is_continued_and_its_tokens_are_counted(client: TestClient) -> None:
    answer = client.post("/", json={"inputs": "a", "parameters": {"max_new_tokens": 4, "details": True}})
    assert answer.status_code == 200, answer.text
    [written] = answer.json()
    assert written["generated_text"]
    assert answer.headers["x-generated-tokens"] == str(written["details"]["generated_tokens"])


def test_info_says_that_it_writes_and_cuts_no_prompts(client: TestClient) -> None:
    info = client.get("/info").json()
    assert info["model_type"] == {"generation": {"task": "text-generation"}}
    assert info["auto_truncate"] is False


def test_more_tokens_than_there_is_room_for_are_refused(client: TestClient) -> None:
    answer = client.post("/", json={"inputs": "a", "parameters": {"max_new_tokens": 100_000}})
    assert answer.status_code == 422
    assert "max_new_tokens" in answer.json()["error"]
