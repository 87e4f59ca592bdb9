"""Whatever is sent, the answer is a named 4xx, or a 5xx without internals, and the next request is answered."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest
from fastapi.testclient import TestClient

from layers.runtime.predictor import Predictor
from layers.runtime.settings import Settings
from layers.serving.application import create_app
from tests.runtime.toy_artifact import Toy
from tests.serving.conftest import Serve

MALFORMED = [
    b"",
    b"{",
    b"not json",
    b'{"inputs": "a"} trailing',
    b'{"inputs": "\xff\xfe"}',
    b"\xef\xbb\xbf" + b'{"inputs": "a"}',
    '{"inputs": "a"}'.encode("utf-16"),
    b'{"inputs": NaN}',
    b'{"inputs": "a", "parameters": {"top_k": Infinity}}',
    b'{"inputs": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    b'{"inputs": ' + b"9" * 5000 + b"}",
]
WRONG: list[Any] = [
    "text",
    ["text"],
    3,
    None,
    {},
    {"input": "text"},
    {"inputs": None},
    {"inputs": []},
    {"inputs": [[]]},
    {"inputs": {"question": "?"}},
    {"inputs": ["text"] * 33},
    {"inputs": "text", "parameters": []},
    {"inputs": "text", "options": "fast"},
    {"inputs": "text", "unknown": 1},
    {"inputs": "text", "parameters": {"unknown": 1}},
    {"inputs": "text", "parameters": {"\ud800": 1}},
    {"inputs": "text", "top_k": 1, "parameters": {"top_k": 2}},
    {"inputs": "half a pair \ud800"},
]


def check(answer: Any, status: int) -> dict[str, Any]:
    assert answer.status_code == status
    body = answer.json()
    assert set(body) == {"error", "error_type"}
    assert all(isinstance(value, str) and value for value in body.values())
    assert "Traceback" not in body["error"]
    return dict(body)


@pytest.mark.parametrize("content", MALFORMED, ids=range(len(MALFORMED)))
def test_what_is_not_json_is_400(serve: Serve, content: bytes) -> None:
    client = serve("toy")
    assert check(client.post("/", content=content), 400)["error_type"] == "malformed"
    assert client.post("/", json={"inputs": "an editor"}).status_code == 200


@pytest.mark.parametrize("body", WRONG, ids=range(len(WRONG)))
def test_what_is_not_a_request_is_422(serve: Serve, body: Any) -> None:
    client = serve("toy")
    assert check(client.post("/", content=json.dumps(body).encode()), 422)["error_type"] == "validation"
    assert client.post("/", json={"inputs": "an editor"}).status_code == 200


def test_a_body_over_the_limit_is_413(serve: Serve) -> None:
    client = serve("toy")
    body = check(client.post("/", json={"inputs": "a" * 3_000_000}), 413)
    assert body["error_type"] == "too_large"
    assert "at most 2000000" in body["error"]


def test_a_body_without_a_length_is_measured(serve: Serve) -> None:
    chunks = (b"x" * 100_000 for _ in range(30))
    check(serve("toy").post("/", content=chunks), 413)


@pytest.mark.parametrize(("path", "kind"), [("/", "malformed"), ("/v1/embeddings", "invalid_request_error")])
def test_a_client_that_leaves_while_it_sends_is_no_failure_of_ours(
    serve: Serve, caplog: pytest.LogCaptureFixture, path: str, kind: str
) -> None:
    sent: list[Any] = []
    messages = [{"type": "http.disconnect"}, {"type": "http.request", "body": b'{"inputs": ', "more_body": True}]

    async def receive() -> Any:
        return messages.pop()

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": []}
    with caplog.at_level(logging.ERROR):
        asyncio.run(serve("sentences").app(scope, receive, send))
    assert sent[0]["status"] == 400
    assert kind in sent[1]["body"].decode()
    assert not caplog.records


def test_a_body_within_the_limit_is_answered(serve: Serve) -> None:
    answer = serve("toy").post("/", json={"inputs": "a " * 900_000})
    assert answer.status_code == 200
    assert int(answer.headers["x-truncated-tokens"]) == 900_000 + 2 - 32


def test_a_model_that_answers_nan_is_500_without_internals(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    client = serve("broken")
    with caplog.at_level(logging.ERROR, logger="hundredfold"):
        body = check(client.post("/", json={"inputs": "an editor"}), 500)
    assert body == {"error": "The server failed to answer. The cause is in its log.", "error_type": "internal"}
    assert "logits of variant fp32 is not finite" in caplog.text
    assert client.get("/health").status_code == 200


class BrokenPredictor(Predictor):
    """Fails in a way that nobody foresaw."""

    def predict(self, *_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("secret detail")


def test_a_defect_is_500_without_internals(
    artifacts: dict[str, Toy], predictors: dict[str, Predictor], caplog: pytest.LogCaptureFixture
) -> None:
    broken = BrokenPredictor(predictors["toy"].engine)
    client = TestClient(create_app({"toy": broken}, Settings(artifact_dir=artifacts["toy"].directory)))
    for _ in range(2):
        assert "secret" not in check(client.post("/", json={"inputs": "an editor"}), 500)["error"]
    assert "secret detail" in caplog.text


@pytest.mark.parametrize("path", ["/nothing", "/embed/", "/models"])
def test_an_unknown_route_is_404(serve: Serve, path: str) -> None:
    assert check(serve("toy").post(path, json={"inputs": "a"}), 404)["error_type"] == "not_found"


@pytest.mark.parametrize(("method", "path"), [("GET", "/embed"), ("PUT", "/"), ("POST", "/health"), ("DELETE", "/")])
def test_a_wrong_method_is_405(serve: Serve, method: str, path: str) -> None:
    answer = serve("toy").request(method, path)
    assert check(answer, 405)["error_type"] == "method_not_allowed"
    assert answer.headers["allow"]


@pytest.mark.parametrize(
    "path", ["/", "/health", "/ping", "/info", "/models/toy", "/metrics", "/v1/models", "/nothing"]
)
def test_head_is_get_without_a_body(serve: Serve, path: str) -> None:
    client = serve("toy")
    got, head = client.get(path), client.head(path)
    assert (head.status_code, head.content) == (got.status_code, b"")
    assert head.headers["content-type"] == got.headers["content-type"]
    assert head.headers["content-length"] == got.headers["content-length"] or path == "/metrics"


def test_head_of_a_route_that_takes_post_is_405(serve: Serve) -> None:
    assert serve("toy").head("/embed").status_code == 405


def test_limits_come_from_the_settings(serve: Serve) -> None:
    client = serve("toy", max_batch_size=2, max_body_bytes=100)
    assert client.post("/", json={"inputs": ["a", "b"]}).status_code == 200
    assert "got 3, expected at most 2" in check(client.post("/", json={"inputs": ["a", "b", "c"]}), 422)["error"]
    check(client.post("/", json={"inputs": "a" * 100}), 413)
