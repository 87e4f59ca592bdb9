"""The endpoint as SageMaker runs it: a process with `serve`, readiness, one route for every body, an orderly end."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from functions.gpu.loading import artifact_directory
from layers.errors import ArtifactError
from tests.functions.container import WAIT_SECONDS, await_ping, container
from tests.runtime.generation.toy_decoder import write_toy_decoder
from tests.runtime.toy_artifact import write_toy

ATTRIBUTES = "x-amzn-sagemaker-custom-attributes"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier and a model that writes until it is told to stop."""
    folder = tmp_path_factory.mktemp("models")
    write_toy(folder / "toy")
    write_toy_decoder(folder / "writer", name="writer", eos_token_ids=(), max_tokens=1000)
    return folder


@pytest.fixture(scope="module")
def endpoint(models: Path) -> Iterator[str]:
    """The URL of a running endpoint."""
    with container(models) as (url, process):
        statuses = await_ping(url, process)
        assert statuses[-1] == 200
        assert set(statuses[:-1]) <= {0, 503}
        yield url


def invoke(url: str, body: Any, **attributes: str) -> httpx.Response:
    header = ",".join(f"{name}={value}" for name, value in attributes.items())
    headers = {ATTRIBUTES: header} if header else {}
    return httpx.post(f"{url}/invocations", json=body, headers=headers, timeout=WAIT_SECONDS)


def test_bodies_of_the_inference_api(endpoint: str) -> None:
    answer = invoke(endpoint, {"inputs": "an editor", "parameters": {"top_k": 1}}, model="toy")
    assert answer.status_code == 200
    assert answer.headers[ATTRIBUTES] == "model=toy"
    direct = httpx.post(f"{endpoint}/models/toy", json={"inputs": "an editor", "parameters": {"top_k": 1}})
    assert answer.json() == direct.json()


def test_bodies_of_text_embeddings_inference(endpoint: str) -> None:
    answer = invoke(endpoint, {"inputs": [["an editor"], ["a game"]], "raw_scores": True})
    assert [len(scores) for scores in answer.json()] == [4, 4]


def test_bodies_of_openai(endpoint: str) -> None:
    answer = invoke(endpoint, {"prompt": "an editor", "max_tokens": 3, "model": "writer"})
    assert answer.json()["object"] == "text_completion"
    streamed = invoke(endpoint, {"prompt": "an editor", "max_tokens": 3, "stream": True}, model="writer")
    assert streamed.text.endswith("data: [DONE]\n\n")
    assert invoke(endpoint, {"prompt": 7}, model="writer").json()["error"]["type"] == "invalid_request_error"


def test_a_stream_comes_as_events(endpoint: str) -> None:
    body = {"inputs": "an editor", "parameters": {"max_new_tokens": 3}, "stream": True}
    answer = invoke(endpoint, body, model="writer", task="text-generation")
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [json.loads(line.removeprefix("data: ")) for line in answer.text.split("\n\n") if line]
    assert [event["index"] for event in events] == [1, 2, 3]


def test_answers_are_the_same_in_company(endpoint: str) -> None:
    bodies: list[tuple[str, Any]] = [("toy", {"inputs": f"{'long ' * (20 * (n % 3))}text {n}"}) for n in range(16)]
    bodies += [("writer", {"inputs": f"text {n}", "parameters": {"max_new_tokens": 5 + n}}) for n in range(8)]

    def ask(asked: tuple[str, Any]) -> Any:
        # The cache of answers would give the second what it gave the first.
        return invoke(endpoint, {**asked[1], "options": {"use_cache": False}}, model=asked[0]).json()

    with ThreadPoolExecutor(len(bodies)) as clients:
        together = list(clients.map(ask, bodies))
    for body, answer in zip(bodies, together, strict=True):
        alone = ask(body)
        if body[0] == "writer":
            assert answer == alone
        else:
            expected = {one["label"]: pytest.approx(one["score"], abs=1e-5) for one in alone[0]}
            assert {one["label"]: one["score"] for one in answer[0]} == expected


def test_mistakes_keep_their_status(endpoint: str) -> None:
    assert invoke(endpoint, {"inputs": "an editor"}).status_code == 404
    assert invoke(endpoint, {"inputs": 7}, model="toy").status_code == 422
    assert httpx.post(f"{endpoint}/invocations", content=b"{").status_code == 404
    assert httpx.post(f"{endpoint}/invocations", content=b"{", headers={ATTRIBUTES: "model=toy"}).status_code == 400
    assert httpx.get(f"{endpoint}/invocations").status_code in (404, 405)


def test_sigterm_drains_what_is_in_flight_and_refuses_what_comes(models: Path) -> None:
    with container(models) as (url, process), ThreadPoolExecutor(1) as clients:
        assert await_ping(url, process)[-1] == 200
        begun = threading.Event()

        def write() -> list[str]:
            body = {"inputs": "a", "parameters": {"max_new_tokens": 900}, "stream": True}
            with httpx.stream("POST", f"{url}/models/writer", json=body, timeout=WAIT_SECONDS) as answer:
                lines = answer.iter_lines()
                first = next(lines)
                begun.set()
                return [first, *(line for line in lines if line)]

        written = clients.submit(write)
        assert begun.wait(WAIT_SECONDS)
        process.send_signal(signal.SIGTERM)
        refusals = refused_until_the_end(lambda: httpx.get(f"{url}/ping"))
        late = [json.loads(answer.content) for answer in refusals]
        assert all(answer["error_type"] == "stopping" for answer in late)
        assert late, "the endpoint ended before it could refuse anything: nothing was seen of draining"
        assert json.loads(written.result()[-1].removeprefix("data: "))["index"] == 900
        assert process.wait(WAIT_SECONDS) == 0


def refused_until_the_end(ask: Callable[[], httpx.Response]) -> list[httpx.Response]:
    """The answers 503 until nobody listens any more; a 200 may have crossed the signal."""
    answers: list[httpx.Response] = []
    while True:
        try:
            answer = ask()
        except httpx.TransportError:
            return answers
        if answer.status_code != 200:
            assert answer.status_code == 503
            assert answer.headers["retry-after"] == "1"
            answers.append(answer)


def test_an_endpoint_without_a_model_says_so_and_ends(tmp_path: Path) -> None:
    with container(tmp_path / "nothing") as (_, process):
        _, log = process.communicate(timeout=WAIT_SECONDS)
        assert process.returncode == 2
        assert b"nothing to serve" in log


def test_the_image_comes_before_model_data(models: Path, tmp_path: Path) -> None:
    in_image, empty = models / "toy", tmp_path
    assert artifact_directory({"ARTIFACT_DIR": str(in_image)}, models) == in_image
    assert artifact_directory({"ARTIFACT_DIR": str(empty)}, models) == models
    assert artifact_directory({}, in_image) == in_image
    with pytest.raises(ArtifactError, match="nothing to serve"):
        artifact_directory({"ARTIFACT_DIR": str(empty)}, tmp_path / "nothing")
