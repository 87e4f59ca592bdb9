"""`python -m functions.streaming` as Lambda starts it, with a model that writes: start, stream, restore, failure."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from functions.streaming.__main__ import load
from functions.streaming.loop import serve
from functions.streaming.runtime_api import RuntimeApi
from tests.functions.conftest import imported, read_event
from tests.functions.runtime_api_server import PATIENCE_SECONDS, RuntimeApiServer, running
from tests.runtime.generation.toy_decoder import write_toy_decoder

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory: Path = write_toy_decoder(tmp_path_factory.mktemp("streaming") / "writer").directory
    return directory


@contextmanager
def environment(api: RuntimeApiServer, artifact: Path, **variables: str) -> Iterator[subprocess.Popen[str]]:
    environ = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "ARTIFACT_DIR": str(artifact),
        "AWS_LAMBDA_RUNTIME_API": api.address,
        **variables,
    }
    command = [sys.executable, "-m", "functions.streaming"]
    with running(api, command, environ) as process:
        yield process


def asking(body: dict[str, object]) -> dict[str, object]:
    return read_event("function_url") | {"body": json.dumps(body)}


def test_tokens_leave_one_by_one_and_whole_answers_leave_whole(writer: Path) -> None:
    body = {"inputs": "an editor", "parameters": {"max_new_tokens": 12, "min_new_tokens": 12}}
    with RuntimeApiServer() as api, environment(api, writer) as process:
        streamed = api.send(asking(body | {"stream": True})).wait()
        whole = api.send(asking(body)).wait()
        refused = api.send(asking({"inputs": []}) | {"isBase64Encoded": True, "body": "%%%not base64"}).wait()
        missing = api.send(asking(body | {"parameters": {"max_new_tokens": 0}})).wait()
        api.end()
        log = process.communicate()[1]
    assert streamed.prelude["headers"]["content-type"].startswith("text/event-stream")
    assert streamed.prelude["headers"]["x-cold-start"] == "1"
    parts = [json.loads(chunk.removeprefix(b"data:")) for chunk in streamed.chunks if chunk.startswith(b"data:")]
    assert [part["index"] for part in parts] == list(range(1, 13))
    assert json.loads(whole.content)[0]["generated_text"] == parts[-1]["generated_text"]
    assert (refused.prelude["statusCode"], missing.prelude["statusCode"]) == (400, 422)
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    assert "request-3" in {line.get("function_request_id") for line in lines}


def test_it_needs_no_event_loop_that_was_there_before(output: Path) -> None:
    """As on Python 3.14, which makes none; of earlier ones a thread that is not the first has none either."""

    def environment() -> None:
        try:
            serve(load(), RuntimeApi(api.address))
        finally:
            asyncio.get_event_loop().close()

    with (
        RuntimeApiServer() as api,
        imported("functions.https.handler", ARTIFACT_DIR=str(output / "toy")),
        ThreadPoolExecutor(1) as thread,
    ):
        ended = thread.submit(environment)
        answers = [api.send(event) for event in (asking({"inputs": "an editor"}), read_event("alb"))]
        api.end()
        ended.result(PATIENCE_SECONDS)
    assert answers[0].prelude["statusCode"] == json.loads(answers[1].body)["statusCode"] == 200


def test_an_environment_is_restored_before_it_asks_for_events(writer: Path) -> None:
    with (
        RuntimeApiServer() as api,
        environment(api, writer, AWS_LAMBDA_INITIALIZATION_TYPE="snap-start") as process,
    ):
        assert api.restored.wait(PATIENCE_SECONDS)
        answer = api.send(asking({"inputs": "an editor"})).wait()
        api.end()
        log = process.communicate()[1]
    assert answer.prelude["statusCode"] == 200
    assert '"message": "restored"' in log


def test_an_environment_that_cannot_start_reports_it(tmp_path: Path) -> None:
    with RuntimeApiServer() as api, environment(api, tmp_path) as process:
        assert process.wait(PATIENCE_SECONDS) == 1
        [(path, report)] = api.reports
    assert path.endswith("/init/error")
    assert "Build a model first" in report["errorMessage"]


def test_outside_lambda_it_says_so() -> None:
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "functions.streaming"]
    done = subprocess.run(command, env=environ, cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "AWS_LAMBDA_RUNTIME_API is not set" in done.stderr
