"""Functions with a model, and functions before an endpoint of the same model: the same goes in, the same comes out.

The endpoint is the real container over the real artifact, behind a stand-in of SageMaker's runtime; S3 is moto's.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pyarrow
import pytest
from pyarrow import parquet

from functions.check.answers import difference
from functions.check.questions import http_event
from infra.code import zip_of
from infra.own_metrics import COLD_START, STAGES
from layers.catalogue import Trigger
from tests.functions.conftest import imported, read_event
from tests.functions.container import await_ping, container
from tests.functions.sagemaker_stand_in import SageMaker, sagemaker
from tests.functions.stand_in import StandIn
from tests.functions.zipped import install_boto3, invoke

# What infra says of the endpoint `e`, which serves the toy.
STACK = {
    "FORWARD_ENDPOINT": "e",
    "FORWARD_MODEL": "toy",
    "FORWARD_TASK": "text-classification",
    "FORWARD_DIGEST": "0" * 64,
    "FORWARD_VARIANT": "fp32",
    "FORWARD_COLUMN": "text",
}


@pytest.fixture(scope="module")
def runtime(output: Path, aws: StandIn) -> Iterator[SageMaker]:
    with container(output / "toy") as (url, process):
        assert await_ping(url, process)[-1] == 200
        with sagemaker(url, aws.s3, aws.bucket()) as started:
            yield started


def own(trigger: Trigger, output: Path, **environment: str) -> AbstractContextManager[Any]:
    """The function with the model in it."""
    return imported(f"functions.{trigger}.handler", ARTIFACT_DIR=str(output / "toy"), **environment)


def forwarding(trigger: Trigger, runtime: SageMaker, **environment: str) -> AbstractContextManager[Any]:
    """The function before the endpoint."""
    return imported(f"functions.forward.{trigger}", **STACK, **runtime.environment, **environment)


def assert_same(expected: Any, got: Any) -> None:
    """To what a text's company may change in a float."""
    assert difference(expected, got, 1e-5) is None
    assert difference(got, expected, 1e-5) is None


# Queue

BODIES = [
    '{"inputs": "an editor", "id": "order-1"}',
    '{"inputs": ["an editor", "a chess engine"], "parameters": {"top_k": 2}, "id": 7}',
    '{"inputs": "ein Wörterbuch für ❤", "top_k": 1, "model": "toy", "task": "text-classification"}',
    json.dumps({"inputs": "long " * 100, "id": "i" * 128}),
    '{"inputs": "an editor", "parameters": {"topk": 1}, "id": "wrong-parameter"}',
    '{"inputs": 7, "id": "wrong-inputs"}',
    '{"inputs": "\\ud800", "id": "half-a-pair"}',
    '{"inputs": "an editor", "task": "fill-mask", "id": "wrong-task"}',
    '{"inputs": "an editor", "task": "a/b,c", "id": "no-task"}',
    '{"inputs": "an editor", "model": "other", "id": "wrong-model"}',
    json.dumps({"inputs": ["text"] * 33, "id": "too-many"}),
    '{"id": "nothing"}',
    "no json",
    '{"inputs": "an editor", "id": "a/b"}',
]


def sqs_event(bodies: list[str]) -> dict[str, Any]:
    [record] = read_event("sqs")["Records"]
    return {"Records": [{**record, "messageId": f"m{number}", "body": body} for number, body in enumerate(bodies)]}


def test_records_are_answered_refused_and_handed_back_alike(output: Path, aws: StandIn, runtime: SageMaker) -> None:
    buckets, failures = [], []
    for module_of in (lambda **named: own("queue", output, **named), lambda **n: forwarding("queue", runtime, **n)):
        buckets.append(aws.bucket())
        with module_of(HUNDREDFOLD_RESULTS_BUCKET=buckets[-1]) as module:
            failures.append(module.handler(sqs_event(BODIES), None))
    assert failures[0] == failures[1]
    keys = aws.keys(buckets[0])
    assert aws.keys(buckets[1]) == keys
    assert len(keys) == len(BODIES)
    results = [[json.loads(aws.read(bucket, key)) for key in keys] for bucket in buckets]
    for expected, got in zip(*results, strict=True):
        assert_same(expected, got)
    assert sum("outputs" in result for result in results[1]) == 4
    assert [result["truncated_tokens"] > 0 for result in results[1] if result["id"] == "i" * 128] == [True]


def test_claims_hold_before_an_endpoint_too(aws: StandIn, runtime: SageMaker) -> None:
    bucket, event = aws.bucket(), sqs_event(BODIES[:1])
    named = {"HUNDREDFOLD_RESULTS_BUCKET": bucket, "HUNDREDFOLD_IDEMPOTENCY_TABLE": aws.table()}
    with forwarding("queue", runtime, **named) as module:
        assert module.handler(event, None) == {"batchItemFailures": []}
        asked = len(runtime.asked)
        assert module.handler(event, None) == {"batchItemFailures": []}
    assert len(runtime.asked) == asked


def test_a_busy_endpoint_is_asked_again(aws: StandIn, runtime: SageMaker) -> None:
    bucket = aws.bucket()
    runtime.refusals.append((400, "ThrottlingException"))
    with forwarding("queue", runtime, HUNDREDFOLD_RESULTS_BUCKET=bucket) as module:
        assert module.handler(sqs_event(BODIES[:1]), None) == {"batchItemFailures": []}
    assert aws.keys(bucket) == ["results/toy/order-1.json"]


# Bucket


def table_of(texts: list[str | None]) -> bytes:
    file = io.BytesIO()
    parquet.write_table(pyarrow.table({"id": range(len(texts)), "text": texts}), file)
    return file.getvalue()


OBJECTS = {
    "in/a b+ü.jsonl": b'"one"\n\n{"id": "x", "inputs": "two", "parameters": {"top_k": 1}}\n{"text": "three"}\n'
    b'{"no": 1}\n{"inputs": 7}\nno json\n{"inputs": "a", "model": "other"}\n',
    "in/table.csv.gz": gzip.compress(b'id,text\n1,"an ""editor"", over\nlines"\n2\n3,a chess engine\n'),
    "in/texts.txt": "\n".join(f"package number {n} for editing text" for n in range(150)).encode(),
    "in/table.parquet": table_of(["an editor", None, "a chess engine"]),
    "in/page.pdf": b"%PDF",
    "in/utf16.txt": "texts".encode("utf-16"),
    "in/broken.txt.gz": gzip.compress(b"an editor\n" * 1000)[:40],
}


def s3_event(bucket: str, key: str) -> dict[str, Any]:
    event = read_event("s3")
    event["Records"][0]["s3"]["bucket"]["name"] = bucket
    event["Records"][0]["s3"]["object"] = {"key": quote_plus(key), "sequencer": "0A"}
    return event


def outcome(aws: StandIn, bucket: str, key: str) -> tuple[dict[str, Any], list[Any]]:
    """The summary without what is measured, and every line that it names."""
    summary = json.loads(aws.read(bucket, f"results/{key}/summary.json"))
    lines = [json.loads(line) for part in summary.get("parts", ()) for line in aws.read(bucket, part).splitlines()]
    assert summary["object"].pop("bucket") == bucket
    return {name: value for name, value in summary.items() if name not in ("seconds", "parts")}, lines


def test_objects_of_every_format_have_the_same_results(output: Path, aws: StandIn, runtime: SageMaker) -> None:
    both = [aws.bucket(), aws.bucket()]
    statuses: list[list[str]] = []
    limits = {"HUNDREDFOLD_RANGE_BYTES": "5000", "HUNDREDFOLD_BUCKET_PARAMETERS": '{"top_k": 3}'}
    for bucket, opened in zip(
        both, (own("bucket", output, **limits), forwarding("bucket", runtime, **limits)), strict=True
    ):
        for key, content in OBJECTS.items():
            aws.s3.put_object(Bucket=bucket, Key=key, Body=content)
        with opened as module:
            events = [s3_event(bucket, key) for key in OBJECTS]
            statuses.append([module.handler(event, None)["objects"][0]["status"] for event in events])
    assert statuses[0] == statuses[1]
    assert set(statuses[0]) == {"complete", "incomplete", "refused"}
    for key in OBJECTS:
        (expected, expected_lines), (got, lines) = (outcome(aws, bucket, key) for bucket in both)
        assert_same(expected, got)
        assert_same(expected_lines, lines)
    assert len([key for key in aws.keys(both[1]) if key.endswith(".jsonl") and "texts.txt" in key]) > 1


# As Lambda runs it


def test_the_zip_answers_alike_with_boto3_and_nothing_else(
    output: Path, aws: StandIn, runtime: SageMaker, tmp_path: Path
) -> None:
    """Without pydantic, Powertools and pyarrow: what is written, claimed and refused."""
    bucket, own_bucket, table = aws.bucket(), aws.bucket(), aws.table()
    environment = {**STACK, **aws.environment, **runtime.environment, "HUNDREDFOLD_RESULTS_BUCKET": bucket}
    for key in ("in/a b+ü.jsonl", "in/table.parquet"):
        aws.s3.put_object(Bucket=bucket, Key=key, Body=OBJECTS[key])
    events = {
        "queue": [sqs_event(BODIES), sqs_event(BODIES)],
        "bucket": [s3_event(bucket, key) for key in ("in/a b+ü.jsonl", "in/table.parquet")],
        "https": [http_event("POST", "/", {"inputs": "an editor"}), http_event("GET", "/health")],
    }
    installed, claims = install_boto3(tmp_path), {"HUNDREDFOLD_IDEMPOTENCY_TABLE": table}
    with zip_of("forward") as code:
        (failed, _), objects, answers = [
            invoke(code.folder, installed, f"functions.forward.{trigger}.handler", given, {**environment, **claims})
            for trigger, given in events.items()
        ]
    with own("queue", output, HUNDREDFOLD_RESULTS_BUCKET=own_bucket) as module:
        assert module.handler(sqs_event(BODIES), None) == failed
    for key in aws.keys(own_bucket):
        assert_same(json.loads(aws.read(own_bucket, key)), json.loads(aws.read(bucket, key)))
    assert [one["objects"][0]["status"] for one in objects] == ["complete", "refused"]
    assert "pyarrow is not installed" in outcome(aws, bucket, "in/table.parquet")[0]["error"]
    assert [answer["statusCode"] for answer in answers] == [200, 200]


# HTTPS

REQUESTS: list[tuple[str, str, Any]] = [
    ("POST", "/", {"inputs": "an editor"}),
    ("POST", "/models/toy", {"inputs": ["an editor", "a chess engine"], "parameters": {"top_k": 1}}),
    ("POST", "/models/toy/pipeline/text-classification", {"inputs": "long " * 100}),
    ("POST", "/predict", {"inputs": "an editor", "raw_scores": True}),
    ("POST", "/tokenize", {"inputs": "an editor"}),
    ("POST", "/", {"inputs": "an editor", "parameters": {"topk": 1}}),
    ("POST", "/models/other", {"inputs": "an editor"}),
    ("POST", "/v1/chat/completions", {"messages": []}),
    ("POST", "/nowhere", {}),
    ("POST", "/health", {}),
    ("PUT", "/", {}),
    ("GET", "/", None),
    ("GET", "/health", None),
    ("GET", "/ping", None),
    ("GET", "/v1/models/other", None),
    ("GET", "/models/toy/health", None),
    ("GET", "/report", None),
    ("GET", "/openapi.json", None),
    ("GET", "/nowhere", None),
]
# Bodies of these say what a process has done, or how it is set.
OF_THE_PROCESS = [("GET", path) for path in ("/info", "/models/toy/info", "/metrics", "/docs", "/v1/models")]


def test_requests_are_answered_alike_with_their_headers(output: Path, runtime: SageMaker) -> None:
    events = [http_event(*request) for request in REQUESTS] + [http_event(*route) for route in OF_THE_PROCESS]
    page = http_event("GET", "/")
    page["headers"]["accept"] = "text/html,application/xhtml+xml"
    broken = {**http_event("POST", "/"), "body": "{"}
    with own("https", output) as module, forwarding("https", runtime) as forward:
        for event in [*events, page, broken]:
            expected, got = module.handler(event, None), forward.handler(event, None)
            request = event["requestContext"]["http"]
            assert got["statusCode"] == expected["statusCode"], request
            # An error's headers do not pass SageMaker, and what was computed together took another time.
            if expected["statusCode"] == 200:
                assert set(got["headers"]) >= set(expected["headers"]) - {"content-length"}
            for name in ("content-type", "content-security-policy", "x-compute-tokens", "x-truncated-tokens"):
                assert got["headers"].get(name) == expected["headers"].get(name), (name, request)
            if (request["method"], request["path"]) not in OF_THE_PROCESS:
                is_page = "text/html" in got["headers"]["content-type"]
                bodies = [answer["body"] if is_page else json.loads(answer["body"]) for answer in (expected, got)]
                assert_same(*bodies)


def test_the_cache_is_left_alone_where_the_caller_says_so(runtime: SageMaker) -> None:
    event = http_event("POST", "/", {"inputs": "a text that is asked thrice"})
    with forwarding("https", runtime) as module:
        answers = [module.handler(event, None) for _ in range(2)]
        event["headers"]["X-Use-Cache"] = "false"
        answers.append(module.handler(event, None))
    assert [answer["headers"].get("x-cache") for answer in answers] == [None, "hit", None]


# Metrics

EVENTS: dict[Trigger, dict[str, Any]] = {
    "https": http_event("POST", "/", {"inputs": "an editor"}),
    "queue": sqs_event(BODIES[:1]),
}


@pytest.mark.parametrize("trigger", ["https", "queue", "bucket"])
def test_forwarding_functions_write_what_the_dashboard_shows(
    trigger: Trigger, aws: StandIn, runtime: SageMaker, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket = aws.bucket()
    aws.s3.put_object(Bucket=bucket, Key="texts.txt", Body=b"a text of the metrics\n")
    event = EVENTS.get(trigger) or s3_event(bucket, "texts.txt")
    with forwarding(trigger, runtime, HUNDREDFOLD_RESULTS_BUCKET=bucket) as module:
        for _ in range(2):
            module.handler(event, None)
    first, second = [json.loads(line) for line in capsys.readouterr().err.splitlines() if '"_aws"' in line]
    units = {metric["Name"]: metric["Unit"] for metric in first["_aws"]["CloudWatchMetrics"][0]["Metrics"]}
    assert {name: units.get(name) for name in (COLD_START, *STAGES[trigger])} == {
        COLD_START: "Count",
        **dict.fromkeys(STAGES[trigger], "Milliseconds"),
    }
    assert (first[COLD_START], second.get(COLD_START)) == (1, None)
    assert first["Tokens"] > 0


# Asynchronous


def test_an_asynchronous_endpoint_answers_in_its_bucket(aws: StandIn, runtime: SageMaker) -> None:
    bucket, long_id = aws.bucket(), "i" * 128
    exchange = {"FORWARD_EXCHANGE_BUCKET": runtime.bucket, "HUNDREDFOLD_RESULTS_BUCKET": bucket}
    aws.s3.put_object(Bucket=bucket, Key="texts.txt", Body=b"an editor\n")
    with forwarding("queue", runtime, **exchange) as module:
        bodies = [BODIES[0], json.dumps({"inputs": "a chess engine", "id": long_id})]
        assert module.handler(sqs_event(bodies), None) == {"batchItemFailures": []}
    with forwarding("bucket", runtime, **exchange) as module:
        assert module.handler(s3_event(bucket, "texts.txt"), None)["objects"][0]["status"] == "complete"
    with forwarding("https", runtime, **exchange) as module:
        accepted = module.handler(http_event("POST", "/", {"inputs": "an editor"}), None)
        described = [module.handler(http_event("GET", path), None) for path in ("/info", "/health", "/nowhere")]
    named = json.loads(aws.read(bucket, f"results/toy/{long_id}.json"))
    assert named["output_location"].endswith(f"/answers/{hashlib.sha256(long_id.encode()).hexdigest()}.out")
    [line] = outcome(aws, bucket, "texts.txt")[1]
    assert (accepted["statusCode"], [answer["statusCode"] for answer in described]) == (202, [200, 200, 404])
    assert json.loads(described[0]["body"])["digest"] == STACK["FORWARD_DIGEST"]
    for told in (json.loads(aws.read(bucket, "results/toy/order-1.json")), line, json.loads(accepted["body"])):
        _, _, place = told["output_location"].partition(f"s3://{runtime.bucket}/")
        assert len(json.loads(aws.read(runtime.bucket, place))[0]) == 4
