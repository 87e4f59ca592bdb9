"""What an answer in parts leaves in the log."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from functions.emf import Metrics
from functions.https.broken_streams import BrokenStreams
from functions.logs import JsonFormatter
from functions.streaming.http_stream import DeadlineError
from functions.streaming.measured import MeasuredApplication
from layers.runtime.engine import Engine
from layers.runtime.predictor import Predictor
from layers.runtime.run import StreamEvent
from layers.runtime.settings import Settings
from layers.serving.application import create_app
from layers.serving.event_stream import EventStream


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the status that its path names."""
    await receive()
    if scope["path"] == "/fails":
        raise ZeroDivisionError("no way")
    headers = [(b"x-compute-tokens", b"7"), (b"x-cold-start", b"1")]
    await send({"type": "http.response.start", "status": int(scope["path"][1:]), "headers": headers})
    await send({"type": "http.response.body", "body": b"part", "more_body": True})
    if scope.get("breaks"):
        raise scope["breaks"]
    await send({"type": "http.response.body", "body": b"part"})


async def no_request() -> dict[str, Any]:
    return {"type": "http.request"}


def answered(path: str, breaks: Exception | None = None) -> tuple[list[str], list[dict[str, Any]]]:
    """The kinds of messages that were passed on, and the lines of metrics."""
    log, formatter, sent = io.StringIO(), JsonFormatter(), []
    formatter.request_id = "r1"

    async def send(message: Any) -> None:
        assert not log.getvalue()
        sent.append(message["type"])

    measured = MeasuredApplication(application, Metrics("https", log), lambda _: None, formatter)
    try:
        asyncio.run(measured({"path": path, "breaks": breaks}, no_request, send))  # type: ignore[arg-type]
    except (ZeroDivisionError, OSError):
        sent.append("failed")
    return sent, [json.loads(line) for line in log.getvalue().splitlines()]


@pytest.mark.parametrize(("status", "refused", "errors"), [(200, 0, 0), (422, 1, 0), (503, 0, 1)])
def test_a_stream_leaves_one_line_when_it_is_over(status: int, refused: int, errors: int) -> None:
    sent, [line] = answered(f"/{status}")
    assert sent == ["http.response.start", "http.response.body", "http.response.body"]
    assert (line["trigger"], line["function_request_id"], line["Tokens"], line["ColdStart"]) == ("https", "r1", 7, 1)
    assert (line["Refused"], line["Errors"]) == (refused, errors)


def test_an_answer_that_never_began_is_an_error() -> None:
    sent, [line] = answered("/fails")
    assert (sent, line["Errors"]) == (["failed"], 1)


@pytest.mark.parametrize(("error", "errors"), [(ZeroDivisionError("no way"), 1), (BrokenPipeError("gone"), 0)])
def test_an_answer_that_breaks_off_is_an_error_unless_its_caller_has_gone(error: Exception, errors: int) -> None:
    sent, [line] = answered("/200", error)
    assert (sent[-1], line["Errors"], line["Tokens"]) == ("failed", errors, 7)


@pytest.mark.parametrize(("error", "errors"), [(DeadlineError("time is up"), 1), (BrokenPipeError("gone"), 0)])
def test_a_stream_that_runs_out_of_time_is_an_error_though_it_ends_as_if_its_caller_had_gone(
    error: OSError, errors: int
) -> None:
    async def others() -> AsyncGenerator[bytes]:
        yield b"second"

    async def send(message: Any) -> None:
        if message.get("body") == b"second":
            raise error

    async def listen() -> Any:
        await asyncio.Event().wait()

    log = io.StringIO()
    stream = EventStream(b"first", others(), lambda _: b"failed", {})
    measured = MeasuredApplication(stream, Metrics("https", log), lambda _: None, JsonFormatter())
    asyncio.run(measured({}, listen, send))  # type: ignore[arg-type]
    assert json.loads(log.getvalue())["Errors"] == errors


@pytest.mark.parametrize(("inputs", "errors"), [("fail", 1), ("go on", 0)])
def test_a_stream_that_ends_in_an_error_is_an_error_though_its_status_was_200(
    output: Path, inputs: str, errors: int
) -> None:
    class Breaking(Predictor):
        """Streams two tokens, and maybe an error."""

        def predict_stream(self, inputs: Any, *_: Any, **__: Any) -> Generator[StreamEvent]:
            for index in (1, 2):
                yield StreamEvent(index, 7, " word", " word", False, -0.5, (), None)
            if inputs == "fail":
                raise ZeroDivisionError("no way")

    log = io.StringIO()
    metrics = Metrics("https", log)
    predictor = Breaking(Engine.load(output / "toy", threads=1))
    app = create_app({"toy": predictor}, Settings(artifact_dir=output / "toy"))
    client = TestClient(BrokenStreams(app, metrics))
    assert client.post("/", json={"inputs": inputs, "stream": True}).status_code == 200
    metrics.add("HandlerLatency", 1.0, "Milliseconds")
    metrics.flush({})
    assert json.loads(log.getvalue()).get("Errors", 0) == errors
    counted = [line for line in client.get("/metrics").text.splitlines() if line.startswith("hundredfold_broken")]
    assert counted == ['hundredfold_broken_streams_total{model="toy",task="text-classification"} 1'] * errors
