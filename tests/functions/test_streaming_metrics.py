"""What an answer in parts leaves in the log."""

from __future__ import annotations

import asyncio
import io
import json
from typing import Any

import pytest

from functions.emf import Metrics
from functions.logs import JsonFormatter
from functions.streaming.measured import MeasuredApplication


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the status that its path names."""
    await receive()
    if scope["path"] == "/fails":
        raise ZeroDivisionError("no way")
    headers = [(b"x-compute-tokens", b"7"), (b"x-cold-start", b"1")]
    await send({"type": "http.response.start", "status": int(scope["path"][1:]), "headers": headers})
    await send({"type": "http.response.body", "body": b"part", "more_body": True})
    await send({"type": "http.response.body", "body": b"part"})


async def no_request() -> dict[str, Any]:
    return {"type": "http.request"}


def answered(path: str) -> tuple[list[str], list[dict[str, Any]]]:
    """The kinds of messages that were passed on, and the lines of metrics."""
    log, formatter, sent = io.StringIO(), JsonFormatter(), []
    formatter.request_id = "r1"

    async def send(message: Any) -> None:
        assert not log.getvalue()
        sent.append(message["type"])

    measured = MeasuredApplication(application, Metrics("https", log), lambda _: None, formatter)
    try:
        asyncio.run(measured({"path": path}, no_request, send))  # type: ignore[arg-type]
    except ZeroDivisionError:
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
