"""The real handler, on whole events of every sender that may call it."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from functions.https.event_path import routed
from layers.runtime.predictor import Predictor
from tests.functions.conftest import Handler, read_event

HTTP_EVENTS = [
    "function_url",
    "function_url_base64",
    "api_gateway_v2",
    "api_gateway_v1",
    "alb",
    "alb_multi_value",
]


@pytest.fixture(scope="module")
def first_answer(handler: Handler) -> dict[str, Any]:
    return handler(read_event("function_url"), None)


def test_only_the_first_answer_is_cold(handler: Handler, first_answer: dict[str, Any]) -> None:
    assert first_answer["headers"]["x-cold-start"] == "1"
    assert float(first_answer["headers"]["x-init-time"]) > 0
    assert "x-cold-start" not in handler(read_event("function_url"), None)["headers"]


@pytest.mark.parametrize("context", [None, SimpleNamespace(aws_request_id="1", function_name="toy")])
@pytest.mark.parametrize("name", HTTP_EVENTS)
def test_every_sender_gets_the_models_answer(handler: Handler, output: Path, name: str, context: Any) -> None:
    answer = handler(read_event(name), context)
    assert answer["statusCode"] == 200
    body = base64.b64decode(answer["body"]) if answer["isBase64Encoded"] else answer["body"]
    text = json.loads(read_event("function_url")["body"])["inputs"]
    assert json.loads(body) == Predictor.load(output / "toy").predict(text).value
    json.dumps(answer)


def test_headers_come_in_the_senders_shape(handler: Handler) -> None:
    assert handler(read_event("function_url"), None)["headers"]["content-type"] == "application/json"
    assert handler(read_event("alb"), None)["headers"]["content-type"] == "application/json"
    multi_value = handler(read_event("alb_multi_value"), None)["multiValueHeaders"]
    assert multi_value["content-type"] == ["application/json"]


@pytest.mark.parametrize("name", HTTP_EVENTS)
@pytest.mark.parametrize(
    ("body", "status"),
    [("not json", 400), ('{"inputs": []}', 422), (json.dumps({"inputs": "a" * 3_000_000}), 413), (None, 400)],
    ids=["malformed", "empty", "3 MB", "absent"],
)
def test_refusals_reach_every_sender(handler: Handler, name: str, body: str | None, status: int) -> None:
    answer = handler(read_event(name) | {"body": body, "isBase64Encoded": False}, None)
    assert answer["statusCode"] == status
    assert set(json.loads(answer["body"])) == {"error", "error_type"}


def at(name: str, method: str, path: str) -> dict[str, Any]:
    """A sender's event for another route."""
    event = read_event(name)
    if "httpMethod" in event:
        return event | {"httpMethod": method, "path": path}
    http = {**event["requestContext"]["http"], "method": method, "path": path}
    return event | {"rawPath": path, "requestContext": {**event["requestContext"], "http": http}}


@pytest.mark.parametrize("name", HTTP_EVENTS)
def test_a_url_that_ends_in_a_slash_may_be_continued_with_one(handler: Handler, name: str) -> None:
    assert handler(at(name, "GET", "//health"), None)["statusCode"] == 200


@pytest.mark.parametrize("name", HTTP_EVENTS)
def test_below_v1_the_handlers_own_refusal_is_openais(handler: Handler, name: str) -> None:
    event = at(name, "POST", "/v1/embeddings") | {"body": "%%%not base64", "isBase64Encoded": True}
    answer = handler(event, None)
    assert answer["statusCode"] == 400
    error = json.loads(answer["body"])["error"]
    assert error == {
        "message": "body cannot be decoded.", "type": "invalid_request_error", "param": None, "code": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    "undecodable", [{"body": "%%%not base64", "isBase64Encoded": True}, {"body": "\ud800", "isBase64Encoded": False}]
)
def test_a_body_that_cannot_be_decoded_is_400(handler: Handler, undecodable: dict[str, Any]) -> None:
    answer = handler(read_event("function_url") | undecodable, None)
    assert answer["statusCode"] == 400
    assert json.loads(answer["body"])["error_type"] == "malformed"
    assert handler(read_event("function_url"), None)["statusCode"] == 200


def test_half_a_surrogate_pair_is_422(handler: Handler) -> None:
    answer = handler(read_event("function_url") | {"body": '{"inputs": "\\ud800"}'}, None)
    assert answer["statusCode"] == 422


@pytest.mark.parametrize("name", ["function_url", "alb_multi_value"])
def test_an_answer_leaves_one_line_of_metrics(handler: Handler, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    unseen = json.dumps({"inputs": f"text for the metrics of {name}"})
    event = read_event(name) | {"body": unseen, "isBase64Encoded": False}
    handler(event, SimpleNamespace(aws_request_id="r1"))
    handler(read_event(name) | {"body": "{}", "isBase64Encoded": False}, None)
    written = capsys.readouterr()
    assert written.out == ""
    first, second = (json.loads(line) for line in written.err.splitlines() if "_aws" in line)
    assert (first["trigger"], first["function_request_id"], first["Refused"]) == ("https", "r1", 0)
    assert min(first["Tokens"], first["InferenceLatency"], first["HandlerLatency"]) > 0
    assert (second["Refused"], "Tokens" in second) == (1, False)


@pytest.mark.parametrize("name", ["function_url", "api_gateway_v2"])
def test_an_event_written_by_hand_may_lack_what_no_answer_needs(handler: Handler, name: str) -> None:
    event = read_event(name)
    del event["requestContext"]["http"]["sourceIp"]
    assert handler(event, None)["statusCode"] == handler(event | {"headers": None}, None)["statusCode"] == 200


def test_health_is_answered(handler: Handler) -> None:
    event = read_event("api_gateway_v1") | {"path": "/health", "httpMethod": "GET", "body": None}
    assert handler(event, None)["statusCode"] == 200


@pytest.mark.parametrize("name", HTTP_EVENTS)
def test_a_probe_may_ask_for_the_head_alone(handler: Handler, name: str) -> None:
    answer = handler(at(name, "HEAD", "/health") | {"body": None, "isBase64Encoded": False}, None)
    assert (answer["statusCode"], answer["body"]) == (200, "")


def test_a_browser_gets_the_page(handler: Handler) -> None:
    event = read_event("api_gateway_v1") | {"path": "/", "httpMethod": "GET", "body": None}
    page = handler(event | {"headers": {"Accept": "text/html,*/*;q=0.8"}, "multiValueHeaders": {}}, None)
    assert page["statusCode"] == 200
    assert page["isBase64Encoded"] is False
    assert page["body"].startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("stage", "path", "expected"),
    [
        ("prod", "/prod/embed", "/embed"),
        ("prod", "/prod", "/"),
        ("prod", "/production", "/production"),
        ("prod", "/embed", "/embed"),
        ("$default", "/embed", "/embed"),
        ("prod", "//prod//v1/embeddings", "/v1/embeddings"),
    ],
)
def test_the_stage_is_no_part_of_the_path(stage: str, path: str, expected: str) -> None:
    event = {"rawPath": path, "requestContext": {"stage": stage, "http": {"path": path}}}
    taken = routed(event)
    assert taken["rawPath"] == taken["requestContext"]["http"]["path"] == expected
