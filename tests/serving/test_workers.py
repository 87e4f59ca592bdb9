"""Several requests at once: in line one at a time, on threads side by side; too many are refused, none is lost."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import httpx
import pytest
from fastapi.testclient import TestClient

from layers.runtime.predictor import Predictor
from layers.runtime.run import Prediction, StreamEvent
from layers.runtime.settings import Settings
from layers.serving.application import create_app
from tests.runtime.toy_artifact import Toy
from tests.serving.live_server import live

WAIT_SECONDS = 20


class GatedPredictor(Predictor):
    """Answers when it is told to; its streams go on until they are closed."""

    def __init__(self, engine: Any) -> None:
        super().__init__(engine)
        self.entered = threading.Semaphore(0)
        self.gate = threading.Event()
        self.closed = threading.Event()

    def predict(self, *_: Any, **__: Any) -> Prediction:
        self.entered.release()
        assert self.gate.wait(WAIT_SECONDS)
        return Prediction([[{"label": "net", "score": 1.0}]], 3, 0, 0.1, 0.1, 0.1)

    def predict_stream(self, inputs: Any, *_: Any, **__: Any) -> Generator[StreamEvent]:
        return self._tokens(inputs)

    def _tokens(self, inputs: Any) -> Generator[StreamEvent]:
        try:
            for index in range(1, 1_000_000):
                yield StreamEvent(index, 7, " word", " word", False, -0.5, (), None)
                if inputs == "fail" and index == 2:
                    raise ZeroDivisionError("secret detail")
        finally:
            self.closed.set()


@pytest.fixture
def gated(predictors: dict[str, Predictor]) -> GatedPredictor:
    return GatedPredictor(predictors["toy"].engine)


Start = Callable[..., str]


@pytest.fixture
def start(gated: GatedPredictor, artifacts: dict[str, Toy]) -> Iterator[Start]:
    """`start(workers=2)` serves the gated model and gives the URL."""
    contexts = []

    def begin(**settings: int) -> str:
        app = create_app({"toy": gated}, Settings(artifact_dir=artifacts["toy"].directory, **settings))  # type: ignore[arg-type]
        contexts.append(live(app))
        return contexts[-1].__enter__()

    yield begin
    gated.gate.set()
    for context in contexts:
        context.__exit__(None, None, None)


def ask(url: str) -> httpx.Response:
    return httpx.post(url, json={"inputs": "an editor"}, timeout=WAIT_SECONDS)


def test_health_is_answered_while_all_workers_are_busy(start: Start, gated: GatedPredictor) -> None:
    url = start(workers=2)
    with ThreadPoolExecutor(3) as clients:
        answers = [clients.submit(ask, url) for _ in range(3)]
        assert all(gated.entered.acquire(timeout=WAIT_SECONDS) for _ in range(2))
        assert not gated.entered.acquire(blocking=False)
        assert httpx.get(f"{url}/health").status_code == 200
        gated.gate.set()
        assert [answer.result().status_code for answer in answers] == [200] * 3
        assert max(float(answer.result().headers["x-queue-time"]) for answer in answers) > 0


def test_too_many_requests_are_refused_and_told_when_to_come_back(start: Start, gated: GatedPredictor) -> None:
    url = start(workers=1, max_concurrent_requests=1)
    with ThreadPoolExecutor(1) as clients:
        answer = clients.submit(ask, url)
        assert gated.entered.acquire(timeout=WAIT_SECONDS)
        refused = ask(url)
        gated.gate.set()
        assert answer.result().status_code == 200
    assert refused.status_code == 429
    assert refused.json()["error_type"] == "overloaded"
    assert refused.headers["retry-after"] == "1"
    assert ask(url).status_code == 200


class NotingPredictor(Predictor):
    """Notes which thread answers."""

    threads: ClassVar[list[str]] = []

    def predict(self, *inputs: Any, **more: Any) -> Prediction:
        self.threads.append(threading.current_thread().name)
        return super().predict(*inputs, **more)


@pytest.mark.parametrize(("path", "key"), [("/embed", "inputs"), ("/embed_all", "inputs"), ("/v1/embeddings", "input")])
def test_token_ids_are_read_by_a_worker(
    predictors: dict[str, Predictor], artifacts: dict[str, Toy], path: str, key: str
) -> None:
    noting = NotingPredictor(predictors["encoder"].engine)
    noting.threads.clear()
    app = create_app({"encoder": noting}, Settings(artifact_dir=artifacts["encoder"].directory, workers=1))
    assert TestClient(app).post(path, json={key: [[3, 4], [5]]}).status_code == 200
    assert noting.threads == ["answering_0"]


def first_event(url: str, inputs: str = "go on") -> Any:
    with httpx.stream("POST", url, json={"inputs": inputs, "stream": True}, timeout=WAIT_SECONDS) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        return json.loads(next(answer.iter_lines()).removeprefix("data:"))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_client_that_goes_away_stops_the_work(start: Start, gated: GatedPredictor, workers: int) -> None:
    url = start(workers=workers, max_concurrent_requests=1)
    assert first_event(url)["token"]["text"] == " word"
    assert gated.closed.wait(WAIT_SECONDS)
    gated.gate.set()
    assert ask(url).status_code == 200


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_in_the_midst_of_a_stream_is_its_last_event(start: Start, workers: int) -> None:
    answer = httpx.post(start(workers=workers), json={"inputs": "fail", "stream": True}, timeout=WAIT_SECONDS)
    events = [json.loads(line.removeprefix("data:")) for line in answer.text.split("\n\n") if line]
    assert [event.get("index") for event in events] == [1, 2, None]
    assert events[-1]["error_type"] == "incomplete_generation"
    assert "secret" not in answer.text


def test_a_stream_in_line_has_the_model_to_itself(start: Start, gated: GatedPredictor) -> None:
    url = start(workers=0)
    gated.gate.set()
    with httpx.stream("POST", url, json={"inputs": "go on", "stream": True}, timeout=WAIT_SECONDS) as answer:
        lines = answer.iter_lines()
        next(lines)
        assert httpx.get(f"{url}/health").status_code == 200
        with ThreadPoolExecutor(1) as clients:
            other = clients.submit(ask, url)
            assert not gated.entered.acquire(timeout=0.2)
            answer.close()
            assert other.result().status_code == 200
