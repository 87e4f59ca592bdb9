"""Every kind of event through the emulator and the real runtime interface client."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.emulator import Emulator
from layers.runtime.predictor import Predictor
from tests.functions.conftest import read_event as recorded
from tests.functions.runtime_api_server import RuntimeApiServer
from tests.functions.stand_in import StandIn
from tests.image.functions import Functions

MODEL = "debian-sections"
HTTP_EVENTS = ["function_url", "function_url_base64", "api_gateway_v2", "api_gateway_v1", "alb", "alb_multi_value"]


def read_event(name: str) -> dict[str, Any]:
    """A recorded event, asking for the model that is here."""
    event: dict[str, Any] = json.loads(json.dumps(recorded(name)).replace("/models/toy", f"/models/{MODEL}"))
    return event


@pytest.fixture(scope="module")
def expected(artifact: Path) -> Any:
    """What the model answers to the events' text on this machine, without any function."""
    return Predictor.load(artifact).predict(json.loads(read_event("function_url")["body"])["inputs"]).value


@pytest.fixture(scope="module")
def https(functions: Functions) -> Iterator[Emulator]:
    with functions.start("functions.https.handler.handler", {}) as function:
        yield function


@pytest.fixture(scope="module")
def first_answer(https: Emulator) -> dict[str, Any]:
    answer: dict[str, Any] = https.invoke(read_event("function_url"))
    return answer


def test_the_first_answer_alone_is_cold(https: Emulator, first_answer: dict[str, Any]) -> None:
    assert first_answer["headers"]["x-cold-start"] == "1"
    assert "x-cold-start" not in https.invoke(read_event("function_url"))["headers"]


@pytest.mark.parametrize("name", HTTP_EVENTS)
def test_every_http_sender_is_answered(https: Emulator, expected: Any, name: str) -> None:
    answer = https.invoke(read_event(name))
    assert answer["statusCode"] == 200, answer
    body = base64.b64decode(answer["body"]) if answer["isBase64Encoded"] else answer["body"]
    assert [row[0]["label"] for row in json.loads(body)] == [row[0]["label"] for row in expected]


@pytest.mark.parametrize(("body", "status"), [("not json", 400), (json.dumps({"inputs": "a" * 3_000_000}), 413)])
def test_refusals_pass_through(https: Emulator, body: str, status: int) -> None:
    assert https.invoke(read_event("function_url") | {"body": body})["statusCode"] == status


def test_log_lines_name_their_request(https: Emulator) -> None:
    https.invoke(read_event("function_url") | {"isBase64Encoded": True, "body": "%%%not base64"})
    lines = [json.loads(line) for line in https.log.read_text().splitlines() if line.startswith('{"level"')]
    [refused] = [line for line in lines if "cannot be decoded" in line["message"]]
    assert len(refused["function_request_id"]) == 36


def test_a_queues_records_are_answered_into_the_bucket(functions: Functions, aws: StandIn, expected: Any) -> None:
    bucket = aws.bucket()
    environment = {**aws.environment, "HUNDREDFOLD_RESULTS_BUCKET": bucket}
    with functions.start("functions.queue.handler.handler", environment) as function:
        assert function.invoke(read_event("sqs")) == {"batchItemFailures": []}
    [key] = aws.keys(bucket)
    assert json.loads(aws.read(bucket, key))["outputs"][0][0]["label"] == expected[0][0]["label"]


@pytest.mark.parametrize("name", ["s3", "sqs_s3"])
def test_a_buckets_object_is_answered_next_to_it(functions: Functions, aws: StandIn, expected: Any, name: str) -> None:
    """S3's event, and the same as a queue hands it on; moto's server stands in for S3."""
    bucket, key = aws.bucket(), "in/texts one.jsonl"
    text = json.loads(read_event("function_url")["body"])["inputs"]
    put = aws.s3.put_object(Bucket=bucket, Key=key, Body=f"{json.dumps(text)}\nno JSON\n".encode())
    recorded_event = json.dumps(read_event(name)).replace("toy-texts", bucket)
    event = json.loads(recorded_event.replace("0123456789abcdef0123456789abcdef", put["ETag"].strip('"')))
    with functions.start("functions.bucket.handler.handler", aws.environment) as function:
        answer = function.invoke(event)
        test_event = function.invoke(read_event("sqs_s3_test"))
    assert "errorType" not in answer, answer
    assert "errorType" not in test_event, test_event
    summary = json.loads(aws.read(bucket, f"results/{key}/summary.json"))
    answered, refused = (json.loads(line) for part in summary["parts"] for line in aws.read(bucket, part).splitlines())
    assert answered["outputs"][0][0]["label"] == expected[0][0]["label"]
    assert (refused["line"], "error" in refused) == (2, True)


def test_answers_in_parts_come_from_the_same_image(functions: Functions, expected: Any) -> None:
    with RuntimeApiServer() as api, functions.run("functions.streaming", {"AWS_LAMBDA_RUNTIME_API": api.address}):
        answer = api.send(read_event("function_url")).wait()
        whole = api.send(read_event("alb")).wait()
        api.end()
    assert answer.headers["lambda-runtime-function-response-mode"] == "streaming"
    assert json.loads(answer.content)[0][0]["label"] == expected[0][0]["label"]
    assert json.loads(whole.body)["statusCode"] == 200
