"""Answers that leave as they come, before an endpoint: from the container to Lambda's Runtime API, part by part."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import EventStreamError

from functions.check.questions import http_event
from functions.emf import Metrics
from functions.forward.endpoint import Answer, Question, RealtimeEndpoint
from functions.forward.settings import ForwardSettings
from functions.forward.streaming import StreamedForward, asks_for_stream
from functions.forward.url_events import UrlFunction
from infra.backend import STREAM_WRAPPER
from infra.code import PROJECT, zip_of
from layers.serving.event_stream import server_sent
from tests.functions.container import await_ping, container
from tests.functions.runtime_api_server import RuntimeApiServer, running
from tests.functions.sagemaker_stand_in import SageMaker, sagemaker
from tests.functions.stand_in import StandIn
from tests.runtime.generation.toy_decoder import write_toy_decoder

WRITTEN = {"max_new_tokens": 12, "min_new_tokens": 12}
SCRIPT = Path(STREAM_WRAPPER).name


def asking(path: str, body: Any) -> dict[str, Any]:
    event = http_event("POST", path, body)
    event["requestContext"]["domainName"] = "a.lambda-url.eu-west-1.on.aws"
    return event


@pytest.fixture(scope="module")
def runtime(aws: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SageMaker]:
    folder = tmp_path_factory.mktemp("writer")
    write_toy_decoder(folder / "writer", name="writer")
    with container(folder) as (url, process):
        assert await_ping(url, process)[-1] == 200
        with sagemaker(url, aws.s3, "none") as started:
            yield started


@contextmanager
def lambda_environment(api: RuntimeApiServer, runtime: SageMaker, aws: StandIn) -> Iterator[subprocess.Popen[str]]:
    """The zip, unpacked, and its wrapper script started with what Lambda gives one."""
    with zip_of("forward", {SCRIPT: (PROJECT / "functions/forward" / SCRIPT).read_text(encoding="utf-8")}) as code:
        environment = {
            **{f"FORWARD_{name}": "e" for name in ("ENDPOINT", "DIGEST", "VARIANT", "COLUMN")},
            "FORWARD_MODEL": "writer",
            "FORWARD_TASK": "text-generation",
            "AWS_LAMBDA_RUNTIME_API": api.address,
            "LAMBDA_TASK_ROOT": str(code.folder),
            "LAMBDA_RUNTIME_DIR": "/var/runtime",
            "PATH": os.environ["PATH"],
            **aws.environment,
            **runtime.environment,
        }
        command = [str(code.folder / "functions/forward" / SCRIPT), sys.executable, "/var/runtime/bootstrap.py"]
        with running(api, command, environment) as process:
            yield process


def test_a_stream_and_whole_answers_pass_the_wrapped_runtime(runtime: SageMaker, aws: StandIn) -> None:
    body = {"inputs": "an editor", "parameters": WRITTEN}
    with RuntimeApiServer() as api, lambda_environment(api, runtime, aws) as process:
        streamed = api.send(asking("/", body | {"stream": True})).wait()
        whole = api.send(asking("/", body)).wait()
        refused = api.send(asking("/", body | {"stream": True, "parameters": {"max_new_tokens": 0}})).wait()
        described = api.send(http_event("GET", "/models/writer/info")).wait()
        api.end()
        log = process.communicate()[1]
    assert streamed.prelude["headers"]["content-type"].startswith("text/event-stream")
    assert streamed.prelude["headers"]["x-cold-start"] == "1"
    events = [json.loads(line.removeprefix(b"data:")) for line in streamed.content.split(b"\n\n") if line]
    assert [event["index"] for event in events] == list(range(1, 13))
    assert json.loads(whole.content)[0]["generated_text"] == events[-1]["generated_text"]
    assert whole.prelude["headers"]["x-generated-tokens"] == "12"
    assert "x-cold-start" not in whole.prelude["headers"]
    assert (refused.prelude["statusCode"], streamed.complete) == (422, True)
    # Nobody streams to who invokes the function itself, as the golden check does.
    assert json.loads(json.loads(described.body)["body"])["model_type"] == {"generation": {"task": "text-generation"}}
    lines = [json.loads(line) for line in log.splitlines() if '"_aws"' in line]
    assert [line.get("ColdStart") for line in lines] == [1, None, None, None]
    assert [line["Refused"] for line in lines] == [0, 0, 1, 0]
    assert lines[1]["GeneratedTokens"] == 12


# The application by itself

SETTINGS = ForwardSettings("e", "m", "t", "d", "v", "text")
EVENT = asking("/", {"inputs": "x", "stream": True})


class Parts:
    """An endpoint that gives parts one by one and writes down when each was asked for."""

    def __init__(
        self,
        happened: list[Any],
        failure: Exception | None = None,
        parts: Sequence[bytes] = (b"one", b"two"),
    ) -> None:
        self.happened = happened
        self.failure = failure
        self.parts = parts

    def ask(self, question: Question) -> Answer:
        raise AssertionError(question)

    def stream(self, _: Question) -> tuple[Answer, Generator[bytes]]:
        return Answer(200, b"", "text/event-stream", {"x-a": "1"}), self._parts()

    def _parts(self) -> Generator[bytes]:
        try:
            for part in self.parts:
                self.happened.append(f"asked for {part.decode()}")
                yield part
            if self.failure:
                raise self.failure
        finally:
            self.happened.append("closed")


def drive(endpoint: Parts, *, gone_after: int = 99, metrics: Metrics | None = None) -> list[Any]:
    async def send(message: Any) -> None:
        if len([one for one in endpoint.happened if isinstance(one, bytes)]) >= gone_after:
            raise BrokenPipeError
        endpoint.happened.append(message.get("body", message.get("status")))

    application = StreamedForward(UrlFunction(endpoint, SETTINGS), endpoint, metrics or Metrics("https"))
    asyncio.run(application({"event": EVENT}, None, send))  # type: ignore[arg-type]
    return endpoint.happened


def test_a_part_leaves_before_the_next_is_asked_for() -> None:
    assert drive(Parts([])) == [200, b"", "asked for one", b"one", "asked for two", b"two", "closed", b""]


def test_a_stream_that_breaks_off_is_not_ended_as_if_it_were_whole() -> None:
    happened: list[Any] = []
    with pytest.raises(EventStreamError):
        drive(Parts(happened, EventStreamError({"Error": {"Code": "ModelStreamError"}}, "InvokeEndpoint")))
    assert happened[-2:] == [b"two", "closed"]


def test_a_caller_who_leaves_ends_the_endpoints_stream() -> None:
    happened: list[Any] = []
    with pytest.raises(BrokenPipeError):
        drive(Parts(happened), gone_after=2)
    assert happened[-2:] == ["asked for two", "closed"]


ENDS = {
    "told in the last event": ([b'data: {"index":1}\n\n', server_sent({"error": "no more", "error_type": "x"})], 1),
    "told across two parts": ([b'data: {"index":1}\n\nda', b'ta: {"err', b'or":{"message":"no more"}}\n\n', b"\n"], 1),
    "whole": ([server_sent({"text": 'data: {"error":'}), b"data: [DONE]\n\n"], 0),
}


@pytest.mark.parametrize(("parts", "errors"), ENDS.values(), ids=ENDS)
def test_a_stream_that_the_endpoint_broke_off_is_an_error_of_the_function(parts: list[bytes], errors: int) -> None:
    log = StringIO()
    metrics = Metrics("https", log)
    happened = drive(Parts([], parts=parts), metrics=metrics)
    metrics.add("HandlerLatency", 1.0, "Milliseconds")
    metrics.flush({})
    assert [one for one in happened if isinstance(one, bytes) and one] == parts
    assert json.loads(log.getvalue()).get("Errors", 0) == errors


class Refusing:
    """SageMaker's runtime, which has no room."""

    def invoke_endpoint_with_response_stream(self, **_: Any) -> dict[str, Any]:
        error = Exception()
        error.response = {"Error": {"Code": "ThrottlingException"}}  # type: ignore[attr-defined]
        raise error


def test_a_refusal_comes_whole() -> None:
    answer, parts = RealtimeEndpoint(Refusing(), "e").stream(Question(b"{}", "/"))
    assert (answer.status, json.loads(answer.body)["error_type"], list(parts)) == (429, "overloaded", [])


@pytest.mark.parametrize(
    ("route", "body", "expected"),
    [
        ("/", b'{"stream": true}', True),
        ("/", b'{"parameters": {"stream": true}}', True),
        ("/generate_stream", b"", True),
        ("/", b'{"stream": false, "parameters": null}', False),
        ("/", b"[true]", False),
        ("/", b"no json", False),
    ],
)
def test_what_asks_for_a_stream(route: str, body: bytes, expected: bool) -> None:
    assert asks_for_stream(Question(body, route)) is expected
