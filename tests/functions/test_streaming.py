"""The loop that streams, against a Runtime API of the tests' own: order of chunks, ends, failures, whole answers."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from typing import Any

import pytest
from mangum import Mangum
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from functions.logs import JsonFormatter
from functions.streaming.loop import StreamingFunction, can_stream, serve
from functions.streaming.runtime_api import RuntimeApi
from tests.functions.conftest import read_event
from tests.functions.runtime_api_server import PATIENCE_SECONDS, Answer, RuntimeApiServer


class Stream(StreamingResponse):
    """Closes what it sends when nobody takes it, as the project's own event stream does."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self.body_iterator):  # type: ignore[type-var]
            await super().__call__(scope, receive, send)


class Tokens:
    """An application whose next token is made only when the test says so."""

    def __init__(self) -> None:
        self.proceed = threading.Event()
        self.made: list[str] = []
        self.closed = threading.Event()

    async def _events(self, count: int, fails_after: int | None) -> AsyncIterator[str]:
        try:
            for number in range(count):
                if number == fails_after:
                    raise ZeroDivisionError("of the inside")
                if number:
                    assert await asyncio.to_thread(self.proceed.wait, PATIENCE_SECONDS)
                self.made.append(f"token {number}")
                yield f"data: token {number}\n\n"
        finally:
            self.closed.set()

    async def stream(self, request: Request) -> Response:
        asked = await request.json()
        headers = {"x-one": "1", "set-cookie": "a=b"}
        events = self._events(asked["count"], asked.get("fails_after"))
        return Stream(events, headers=headers, media_type="text/event-stream")

    async def whole(self, request: Request) -> Response:
        return JSONResponse({"path": request.url.path, "query": request.url.query, "id": request.headers.get("x-id")})

    async def broken(self, _: Request) -> Response:
        raise ZeroDivisionError("of the inside")

    def application(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/stream", self.stream, methods=["POST"]),
                Route("/broken", self.broken),
                Route("/{rest:path}", self.whole, methods=["GET", "POST"]),
            ]
        )


def run_environment(tokens: Tokens, address: str, formatter: JsonFormatter) -> None:
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    application = tokens.application()
    adapter = Mangum(application, lifespan="off")
    serve(StreamingFunction(application, adapter.infer, adapter, formatter, loop), RuntimeApi(address))
    loop.close()


@contextmanager
def environments(tokens: Tokens, count: int = 1) -> Iterator[RuntimeApiServer]:
    """So many loops, each with an application of its own, on one API."""
    with RuntimeApiServer() as api:
        threads = [
            threading.Thread(target=run_environment, args=(tokens, api.address, JsonFormatter())) for _ in range(count)
        ]
        for thread in threads:
            thread.start()
        try:
            yield api
        finally:
            tokens.proceed.set()
            api.end()
            for thread in threads:
                thread.join(PATIENCE_SECONDS)
                assert not thread.is_alive()


def url_event(path: str, body: Any = None, method: str = "POST") -> dict[str, Any]:
    """A Function URL's event for a path."""
    event = read_event("function_url")
    http = {**event["requestContext"]["http"], "path": path, "method": method}
    return {
        **event,
        "rawPath": path,
        "requestContext": {**event["requestContext"], "http": http},
        "body": None if body is None else json.dumps(body),
    }


def test_the_first_token_has_arrived_before_the_last_is_made() -> None:
    tokens = Tokens()
    made_when_first_arrived: list[int] = []

    def on_chunk(answer: Answer) -> None:
        if answer.content and not tokens.proceed.is_set():
            made_when_first_arrived.append(len(tokens.made))
            tokens.proceed.set()

    with environments(tokens) as api:
        answer = api.send(url_event("/stream", {"count": 4}), on_chunk=on_chunk).wait()
    assert made_when_first_arrived == [1]
    assert answer.content == b"".join(b"data: token %d\n\n" % number for number in range(4))
    assert [chunk for chunk in answer.chunks if b"token" in chunk] == [b"data: token %d\n\n" % n for n in range(4)]


def test_the_answer_is_framed_as_the_protocol_says() -> None:
    tokens = Tokens()
    tokens.proceed.set()
    with environments(tokens) as api:
        answer = api.send(url_event("/stream", {"count": 1})).wait()
    assert answer.path == "/2018-06-01/runtime/invocation/request-1/response"
    assert answer.headers["lambda-runtime-function-response-mode"] == "streaming"
    assert answer.headers["content-type"] == "application/vnd.awslambda.http-integration-response"
    assert answer.headers["trailer"] == "Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body"
    assert answer.prelude["statusCode"] == 200
    assert answer.prelude["headers"]["content-type"].startswith("text/event-stream")
    assert answer.prelude["headers"]["x-one"] == "1"
    assert answer.prelude["cookies"] == ["a=b"]
    assert (answer.complete, answer.trailers) == (True, {})


def test_a_failure_in_the_midst_ends_with_trailers_and_the_loop_goes_on() -> None:
    tokens = Tokens()
    tokens.proceed.set()
    with environments(tokens) as api:
        broken = api.send(url_event("/stream", {"count": 3, "fails_after": 2})).wait()
        after = api.send(url_event("/stream", {"count": 2})).wait()
    assert broken.content == b"data: token 0\n\ndata: token 1\n\n"
    assert broken.trailers["lambda-runtime-function-error-type"] == "Function.BrokenAnswer"
    assert broken.error["errorType"] == "Function.BrokenAnswer"
    assert "inside" not in json.dumps(broken.error)
    assert (after.complete, after.trailers) == (True, {})


def test_a_failure_before_the_start_is_a_500() -> None:
    with environments(Tokens()) as api:
        answer = api.send(url_event("/broken", method="GET")).wait()
    assert answer.prelude["statusCode"] == 500
    assert b"ZeroDivision" not in answer.body
    assert answer.complete


def test_time_that_is_up_breaks_the_answer_off_and_ends_the_work() -> None:
    tokens = Tokens()
    tokens.proceed.set()
    with environments(tokens) as api:
        answer = api.send(url_event("/stream", {"count": 100}), seconds=0.2).wait()
        assert tokens.closed.wait(PATIENCE_SECONDS)
    assert answer.error["errorType"] == "Function.TimeIsUp"
    assert len(tokens.made) == 1


def test_an_answer_that_is_ready_at_the_last_moment_is_sent() -> None:
    with environments(Tokens()) as api:
        answer = api.send(url_event("/late"), seconds=0.2).wait()
    assert (answer.complete, answer.trailers) == (True, {})
    assert json.loads(answer.content)["path"] == "/late"


def test_a_reader_that_goes_away_ends_the_work_and_the_loop_goes_on() -> None:
    tokens = Tokens()

    def hang_up(answer: Answer) -> None:
        if answer.content:
            tokens.proceed.set()
            raise ConnectionAbortedError

    with environments(tokens) as api:
        api.send(url_event("/stream", {"count": 100_000}), on_chunk=hang_up)
        assert tokens.closed.wait(PATIENCE_SECONDS)
        after = api.send(url_event("/stream", {"count": 1})).wait()
    assert len(tokens.made) < 100_000
    assert after.complete


def test_answers_that_do_not_stream_pass_through_the_same_loop() -> None:
    with environments(Tokens()) as api:
        answer = api.send(url_event("/some/where", method="GET") | {"rawQueryString": "a=1"}).wait()
    assert answer.prelude["headers"]["content-type"] == "application/json"
    assert json.loads(answer.content) == {"path": "/some/where", "query": "a=1", "id": None}


@pytest.mark.parametrize("name", ["alb", "api_gateway_v2"])
def test_senders_that_take_no_parts_get_whole_answers(name: str) -> None:
    with environments(Tokens()) as api:
        answer = api.send(read_event(name)).wait()
    assert "lambda-runtime-function-response-mode" not in answer.headers
    assert json.loads(answer.body)["statusCode"] == 200


def test_a_rest_api_gets_parts() -> None:
    with environments(Tokens()) as api:
        answer = api.send(read_event("api_gateway_v1")).wait()
    assert answer.prelude["statusCode"] == 200


@pytest.mark.parametrize("event", [{"requestContext": None}, {"requestContext": {"elb": 1}}, {"version": "2.0"}])
def test_only_whole_http_events_are_streamed(event: dict[str, Any]) -> None:
    assert not can_stream({"requestContext": {}} | event)


@pytest.mark.parametrize("event", ["sqs", "s3"])
def test_events_of_others_are_reported_as_errors_and_the_loop_goes_on(event: str) -> None:
    with environments(Tokens()) as api:
        refused = api.send(read_event(event)).wait()
        api.send({"no": "event"}).wait()
        api.send({"requestContext": None}).wait()
        # A WebSocket API's, of which Mangum knows nothing.
        api.send({"requestContext": {"routeKey": "$connect", "connectionId": "1"}}).wait()
        after = api.send(url_event("/x", method="GET")).wait()
    assert refused.path.endswith("/error")
    assert json.loads(refused.body)["errorType"] == "Function.UnexpectedEvent"
    assert after.complete


def test_environments_side_by_side_answer_their_own_events() -> None:
    with environments(Tokens(), count=3) as api:
        answers = [api.send(url_event("/x", method="GET") | {"headers": {"x-id": str(number)}}) for number in range(30)]
        told = [json.loads(answer.wait().content)["id"] for answer in answers]
    assert told == [str(number) for number in range(30)]
