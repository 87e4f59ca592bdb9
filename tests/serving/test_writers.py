"""A model that writes, behind the same routes: whole texts and streams."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from layers.runtime.limits import TokenLimits
from layers.runtime.predictor import Predictor
from layers.runtime.settings import Settings
from layers.serving.application import create_app
from tests.runtime.generation.toy_decoder import write_toy_decoder

SETTINGS = Settings(artifact_dir=Path("unused"))
STREAMED = {"index", "token", "generated_text", "details"}


@pytest.fixture(scope="module")
def client(writer: Predictor) -> TestClient:
    return TestClient(create_app({"toy-writer": writer}, SETTINGS), raise_server_exceptions=False)


@pytest.fixture(scope="module")
def rewriting(tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    """An application with a model that summarizes sources of 64 tokens."""
    folder = tmp_path_factory.mktemp("rewriter") / "rewriter"
    write_toy_decoder(folder, name="rewriter", task="summarization", tokenizer="debian-summarizer", eos_token_ids=(1,))
    return TestClient(create_app({"rewriter": Predictor.load(folder, threads=1)}, SETTINGS))


def events_of(answer: Any) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.endswith("\n\n")
    return [json.loads(block.removeprefix("data: ")) for block in answer.text.split("\n\n") if block]


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
    assert info["max_total_tokens"] == 300


def test_guesses_are_counted(client: TestClient) -> None:
    def counted() -> list[float]:
        lines = client.get("/metrics").text.splitlines()
        names = [
            f'hundredfold_lookup_{name}_total{{model="toy-writer"}} ' for name in client.get("/info").json()["lookup"]
        ]
        return [float(line.removeprefix(name)) for name in names for line in lines if line.startswith(name)]

    before = list(client.get("/info").json()["lookup"].values())
    assert counted() == before
    answer = client.post("/", json={"inputs": "a b a b a b a", "parameters": {"max_new_tokens": 9, "details": True}})
    lookup = client.get("/info").json()["lookup"]
    drafted, accepted, runs = (now - then for now, then in zip(lookup.values(), before, strict=True))
    assert drafted >= accepted
    assert answer.json()[0]["details"]["generated_tokens"] == 1 + accepted + runs
    assert counted() == list(lookup.values())


def test_info_says_that_sources_are_cut_unasked(rewriting: TestClient) -> None:
    info = rewriting.get("/info").json()
    assert (info["auto_truncate"], info["max_input_tokens"]) == (True, 64)
    answer = rewriting.post("/", json={"inputs": "an editor " * 90, "parameters": {"max_new_tokens": 2}})
    assert int(answer.headers["x-truncated-tokens"]) > 0


def test_a_stream_says_what_was_cut_off_its_source_and_it_is_counted(rewriting: TestClient) -> None:
    def counted() -> list[float]:
        names = ('hundredfold_tokens_total{model="rewriter",kind="truncated"}', "hundredfold_truncated_requests_total")
        lines = rewriting.get("/metrics").text.splitlines()
        return [sum(float(line.split()[-1]) for line in lines if line.startswith(name)) for name in names]

    body: dict[str, Any] = {"inputs": "an editor " * 90, "parameters": {"max_new_tokens": 2}}
    whole, before = rewriting.post("/", json=body), counted()
    streamed = rewriting.post("/", json=body | {"stream": True})
    cut = streamed.headers["x-truncated-tokens"]
    assert cut == whole.headers["x-truncated-tokens"]
    assert [after - earlier for after, earlier in zip(counted(), before, strict=True)] == [int(cut), 1]
    short = rewriting.post("/", json=body | {"inputs": "an editor", "stream": True})
    assert "x-truncated-tokens" not in short.headers
    assert short.headers["x-compute-type"] == "cpu"


def test_more_tokens_than_there_is_room_for_are_refused(client: TestClient) -> None:
    answer = client.post("/", json={"inputs": "a", "parameters": {"max_new_tokens": 100_000}})
    assert answer.status_code == 422
    assert "max_new_tokens" in answer.json()["error"]


@pytest.mark.parametrize("parameters", [{}, {"details": True, "top_n_tokens": 2, "do_sample": True, "seed": 5}])
def test_a_stream_says_what_the_answer_says(client: TestClient, parameters: dict[str, Any]) -> None:
    body = {"inputs": "an editor", "parameters": {"max_new_tokens": 6, **parameters}}
    [whole] = client.post("/", json={**body, "parameters": {**body["parameters"], "details": True}}).json()  # type: ignore[dict-item]
    events = events_of(client.post("/", json={**body, "stream": True}))
    assert [event["index"] for event in events] == [1, 2, 3, 4, 5, 6]
    assert [event["token"]["id"] for event in events] == [token["id"] for token in whole["details"]["tokens"]]
    assert all(set(event) - {"top_tokens"} == STREAMED for event in events)
    assert [event["generated_text"] for event in events] == [None] * 5 + [whole["generated_text"]]
    details = events[-1]["details"]
    if not parameters:
        assert details is None
        return
    assert details["finish_reason"] == "length"
    assert details["generated_tokens"] == 6
    assert details["seed"] == 5
    assert details["input_length"] > 0
    assert [event["top_tokens"] for event in events] == whole["details"]["top_tokens"]


def test_stream_false_is_an_ordinary_answer(client: TestClient) -> None:
    body = {"inputs": "a", "parameters": {"max_new_tokens": 2}}
    assert client.post("/", json={**body, "stream": False}).json() == client.post("/", json=body).json()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"inputs": "a", "stream": "yes"}, "stream: got a string, expected a boolean"),
        ({"inputs": ["a"], "stream": True}, "got a list with stream"),
        ({"inputs": "a", "stream": True, "parameters": {"max_new_tokens": 1000}}, "max_new_tokens"),
        ({"inputs": "a", "stream": True, "parameters": {"topk": 1}}, "unknown parameter 'topk'"),
    ],
)
def test_a_stream_is_refused_with_a_status(client: TestClient, body: dict[str, Any], message: str) -> None:
    answer = client.post("/", json=body)
    assert answer.status_code == 422
    assert message in answer.json()["error"]


def test_what_writes_no_text_is_not_streamed(predictors: dict[str, Predictor]) -> None:
    client = TestClient(create_app({"toy": predictors["toy"]}, SETTINGS))
    answer = client.post("/", json={"inputs": "a", "stream": True})
    assert answer.status_code == 422
    assert "cannot be streamed" in answer.json()["error"]
    assert client.post("/", json={"inputs": "a", "stream": False}).status_code == 200


def test_tgis_own_routes_leave_the_prompt_out(client: TestClient) -> None:
    body = {"inputs": "an editor", "parameters": {"max_new_tokens": 3}}
    written = client.post("/generate", json=body).json()
    assert client.post("/", json=body).json() == [{"generated_text": "an editor" + written["generated_text"]}]
    events = events_of(client.post("/generate_stream", json=body))
    assert events[-1]["generated_text"] == written["generated_text"]
    # Clients say beside the route what it says already.
    assert client.post("/generate", json={**body, "stream": False}).json() == written
    assert events_of(client.post("/generate_stream", json={**body, "stream": True})) == events
    for path, stream, words in (
        ("/generate", True, "stream: got true, expected false; or POST /generate_stream."),
        ("/generate_stream", False, "stream: got false, expected true; or POST /generate."),
    ):
        answer = client.post(path, json={**body, "stream": stream})
        assert (answer.status_code, answer.json()["error"]) == (422, words)
    assert client.post("/generate", json={"inputs": ["a"]}).status_code == 422


def test_a_budget_is_kept_and_told(writer_directory: Path) -> None:
    limits = TokenLimits(input_tokens=5, new_tokens=4, total_tokens=8)
    limited = Predictor.load(writer_directory, threads=1, limits=limits)
    client = TestClient(create_app({"toy-writer": limited}, SETTINGS))
    info = client.get("/info").json()
    assert (info["max_input_tokens"], info["max_new_tokens"], info["max_total_tokens"]) == (5, 4, 8)
    [written] = client.post("/", json={"inputs": "a", "parameters": {"details": True}}).json()
    assert written["details"]["generated_tokens"] == 4
    for body, message in (
        ({"inputs": "a", "parameters": {"max_new_tokens": 5}}, "expected at most 4"),
        ({"inputs": "a b c d e f g"}, "expected at most 5"),
    ):
        answer = client.post("/", json=body)
        assert answer.status_code == 422
        assert message in answer.json()["error"]
