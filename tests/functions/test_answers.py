"""Answers larger than Lambda carries: refused by us, in the sender's shape, and only when they really are."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from functions.https.answers import LAMBDA_ANSWER_BYTES, LOAD_BALANCER_ANSWER_BYTES, within_limit
from tests.functions.conftest import read_event
from tests.runtime.toy_artifact import write_toy

EVENTS = ["function_url", "api_gateway_v2", "api_gateway_v1", "alb", "alb_multi_value"]


def answer(body: str) -> dict[str, Any]:
    return {"statusCode": 200, "headers": {"content-type": "application/json"}, "body": body, "isBase64Encoded": False}


@pytest.mark.parametrize("name", EVENTS)
def test_an_answer_within_the_limit_is_left_alone(name: str) -> None:
    small = answer("x" * 900_000)
    assert within_limit(read_event(name), small) is small


@pytest.mark.parametrize("name", EVENTS)
def test_a_larger_one_is_a_413_that_says_what_to_do(name: str) -> None:
    refused = within_limit(read_event(name), answer("x" * 6_291_557))
    assert refused["statusCode"] == 413
    told = json.loads(refused["body"])
    assert told["error_type"] == "answer_too_large"
    assert "fewer inputs" in told["error"]
    assert "bucket" in told["error"]
    headers = refused["multiValueHeaders" if name == "alb_multi_value" else "headers"]
    assert headers["content-type"] in ("application/json", ["application/json"])


def test_what_counts_is_the_size_on_the_wire() -> None:
    event = read_event("function_url")
    quotes = '"' * (LAMBDA_ANSWER_BYTES // 2 + 1)
    assert within_limit(event, answer(quotes))["statusCode"] == 413
    exact = answer("x" * (LAMBDA_ANSWER_BYTES - len(json.dumps(answer("")))))
    assert within_limit(event, exact) is exact


def test_a_load_balancer_takes_less() -> None:
    large = answer("x" * (LOAD_BALANCER_ANSWER_BYTES + 1))
    assert within_limit(read_event("alb"), large)["statusCode"] == 413
    assert within_limit(read_event("function_url"), large)["statusCode"] == 200


def test_the_handler_refuses_what_lambda_could_not_carry(tmp_path: Path) -> None:
    toy = write_toy(tmp_path / "encoder", name="encoder", task="feature-extraction")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("ARTIFACT_DIR", str(toy.directory))
        environment.setenv("HUNDREDFOLD_MAX_BATCH_SIZE", "2000")
        environment.delitem(sys.modules, "functions.https.handler", raising=False)
        handler = importlib.import_module("functions.https.handler").handler
        sys.modules.pop("functions.https.handler")
    texts = {"inputs": ["a text editor that is written in C " * 8] * 1500}
    answer = handler(read_event("function_url") | {"body": json.dumps(texts)}, None)
    assert answer["statusCode"] == 413
    assert json.loads(answer["body"])["error_type"] == "answer_too_large"
    texts["inputs"] = texts["inputs"][:10]
    assert handler(read_event("function_url") | {"body": json.dumps(texts)}, None)["statusCode"] == 200
