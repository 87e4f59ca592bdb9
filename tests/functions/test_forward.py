"""Functions before an endpoint: the request goes there as it came, and what comes back keeps its status."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import pytest

from functions.check.questions import check, http_event
from functions.forward import bucket, https, queue
from functions.forward.endpoint import AsynchronousEndpoint, Question, RealtimeEndpoint
from functions.forward.results import Results

INFO = {"FORWARD_MODEL": "m", "FORWARD_TASK": "t", "FORWARD_DIGEST": "d", "FORWARD_MODE": "realtime"}
OUTPUTS = [[{"label": "a", "score": 0.5}]]


class ClientError(Exception):
    """As botocore raises it."""

    def __init__(self, code: str, **more: Any) -> None:
        super().__init__(code)
        self.response = {"Error": {"Code": code}, **more}


class Runtime:
    """SageMaker's runtime; answers with `content`, or raises it."""

    def __init__(self, content: Any = OUTPUTS) -> None:
        self.content = content
        self.calls: list[dict[str, Any]] = []

    def invoke_endpoint(self, **call: Any) -> dict[str, Any]:
        self.calls.append(call)
        if isinstance(self.content, Exception):
            raise self.content
        body = self.content if isinstance(self.content, bytes) else json.dumps(self.content).encode()
        return {"Body": io.BytesIO(body), "ContentType": "application/json"}

    def invoke_endpoint_async(self, **call: Any) -> dict[str, Any]:
        self.calls.append(call)
        return {"OutputLocation": "s3://exchange/answers/1", "FailureLocation": "s3://exchange/failures/1"}


class Bucket:
    """S3, as a dictionary."""

    def __init__(self, **objects: bytes) -> None:
        self.objects = dict(objects)

    def put_object(self, *, Key: str, Body: bytes, IfNoneMatch: str = "", **_: Any) -> None:  # noqa: N803
        if IfNoneMatch and Key in self.objects:
            raise ClientError("PreconditionFailed")
        self.objects[Key] = Body

    def get_object(self, *, Key: str, **_: Any) -> dict[str, Any]:  # noqa: N803
        return {"ContentLength": len(self.objects[Key]), "Body": io.BytesIO(self.objects[Key])}


def post(runtime: Runtime, path: str = "/models/m", body: Any = None) -> dict[str, Any]:
    return https.forward(http_event("POST", path, body or {"inputs": "x"}), RealtimeEndpoint(runtime, "e"), INFO)


def test_a_request_goes_to_its_route_and_the_answer_comes_back() -> None:
    runtime = Runtime()
    answer = post(runtime, "/v1/embeddings", {"input": "x"})
    assert (answer["statusCode"], json.loads(answer["body"])) == (200, OUTPUTS)
    [call] = runtime.calls
    assert (call["EndpointName"], call["CustomAttributes"]) == ("e", "route=/v1/embeddings")
    assert json.loads(call["Body"]) == {"input": "x"}


@pytest.mark.parametrize("said", ["", "model=m,task=rerank"])
def test_sagemakers_own_route_is_the_endpoints_to_read(said: str) -> None:
    runtime = Runtime()
    event = http_event("POST", "/invocations", {"input": "x"})
    event["headers"] |= {"X-Amzn-SageMaker-Custom-Attributes": said} if said else {}
    https.forward(event, RealtimeEndpoint(runtime, "e"), INFO)
    assert runtime.calls[0]["CustomAttributes"] == said


def test_a_body_in_base64_is_sent_as_its_bytes_and_bytes_come_back_so() -> None:
    runtime = Runtime(b"\xff\x00")
    event = http_event("POST", "/") | {"body": base64.b64encode(b"\x81").decode(), "isBase64Encoded": True}
    answer = https.forward(event, RealtimeEndpoint(runtime, "e"), INFO)
    assert runtime.calls[0]["Body"] == b"\x81"
    assert (answer["isBase64Encoded"], base64.b64decode(answer["body"])) == (True, b"\xff\x00")


def test_the_containers_own_refusal_keeps_status_and_words() -> None:
    said = json.dumps({"error": "no inputs", "error_type": "validation"})
    answer = post(Runtime(ClientError("ModelError", OriginalStatusCode=422, OriginalMessage=said)))
    assert (answer["statusCode"], answer["body"]) == (422, said)


@pytest.mark.parametrize(
    ("code", "status"),
    [("ThrottlingException", 429), ("ServiceUnavailable", 503), ("ValidationError", 400), ("AccessDenied", 502)],
)
def test_what_sagemaker_says_becomes_a_status(code: str, status: int) -> None:
    answer = post(Runtime(ClientError(code)))
    assert answer["statusCode"] == status
    assert ("retry-after" in answer["headers"]) is (status in (429, 503))


def test_insides_of_a_container_are_not_shown() -> None:
    answer = post(Runtime(ClientError("ModelError", OriginalStatusCode=500, OriginalMessage="Traceback: secret")))
    assert answer["statusCode"] == 500
    assert "secret" not in answer["body"]


@pytest.mark.parametrize(
    ("event", "status"),
    [
        (http_event("PUT", "/"), 405),
        (http_event("GET", "/models/other/info"), 404),
        (http_event("POST", "/a,model=b", {}), 404),
        (http_event("POST", "/") | {"body": "%", "isBase64Encoded": True}, 400),
    ],
)
def test_what_is_no_request_for_the_endpoint_does_not_reach_it(event: dict[str, Any], status: int) -> None:
    runtime = Runtime()
    assert https.forward(event, RealtimeEndpoint(runtime, "e"), INFO)["statusCode"] == status
    assert not runtime.calls


def asynchronous(runtime: Runtime, s3: Bucket) -> AsynchronousEndpoint:
    return AsynchronousEndpoint(runtime, s3, "e", "exchange")


def test_an_asynchronous_request_lies_in_s3_and_says_where_the_answer_will_be() -> None:
    runtime, s3 = Runtime(), Bucket()
    answer = https.forward(http_event("POST", "/", {"inputs": "x"}), asynchronous(runtime, s3), INFO)
    assert answer["statusCode"] == 202
    assert json.loads(answer["body"])["output_location"] == "s3://exchange/answers/1"
    [(key, body)] = s3.objects.items()
    assert (key.startswith("requests/"), json.loads(body)) == (True, {"inputs": "x"})
    assert runtime.calls[0]["InputLocation"] == f"s3://exchange/{key}"


@pytest.mark.parametrize("later", [False, True])
def test_the_golden_check_takes_these_answers(later: bool) -> None:
    """What is asked before traffic moves is asked through these functions."""
    target = asynchronous(Runtime(), Bucket()) if later else RealtimeEndpoint(Runtime(), "e")

    class Clients:
        def invoke(self, _arn: str, event: dict[str, Any]) -> dict[str, Any]:
            return https.forward(event, target, INFO)

        def read_object(self, bucket: str, key: str) -> bytes:
            assert (bucket, key) == ("exchange", "answers/1")
            return json.dumps(OUTPUTS).encode()

    goldens = {"m": [{"inputs": "x", "outputs": OUTPUTS, "tolerance": 0.01}]}
    assert check(Clients(), "arn", {"m": "d"}, goldens, remaining_seconds=lambda: 60) == 1


def deliver(target: Any, *bodies: str) -> tuple[Bucket, list[str]]:
    s3 = Bucket()
    event = {"Records": [{"messageId": f"n{number}", "body": body} for number, body in enumerate(bodies)]}
    failed = queue.forward(event, target, Results(s3, "data", "results/"), "m")["batchItemFailures"]
    return s3, [each["itemIdentifier"] for each in failed]


def test_records_are_answered_and_the_wrong_one_alone_goes_back() -> None:
    runtime = Runtime()
    good = {"id": "7", "inputs": "x", "parameters": {"top_k": 1}, "task": "rerank"}
    s3, failed = deliver(RealtimeEndpoint(runtime, "e"), json.dumps(good), "no json")
    assert failed == ["n1"]
    assert json.loads(s3.objects["results/m/7.json"]) == {"id": "7", "model": "m", "outputs": OUTPUTS}
    assert json.loads(s3.objects["results/m/n1.json"])["status"] == 400
    [call] = runtime.calls
    assert call["CustomAttributes"] == "route=/models/m/pipeline/rerank"
    assert json.loads(call["Body"]) == {"inputs": "x", "parameters": {"top_k": 1}}


def test_an_error_never_replaces_an_answer() -> None:
    s3 = Bucket(**{"results/m/n0.json": b"the answer"})
    event = {"Records": [{"messageId": "n0", "body": "no json"}]}
    failed = queue.forward(event, RealtimeEndpoint(Runtime(), "e"), Results(s3, "data", "results/"), "m")
    assert failed == {"batchItemFailures": [{"itemIdentifier": "n0"}]}
    assert s3.objects == {"results/m/n0.json": b"the answer"}


def test_a_record_that_the_endpoint_has_no_room_for_leaves_no_result() -> None:
    s3, failed = deliver(RealtimeEndpoint(Runtime(ClientError("ThrottlingException")), "e"), '{"inputs": "x"}')
    assert (s3.objects, failed) == ({}, ["n0"])


def test_an_asynchronous_record_is_known_by_its_id() -> None:
    runtime = Runtime()
    s3, failed = deliver(asynchronous(runtime, Bucket()), '{"id": "7", "inputs": "x"}')
    assert (runtime.calls[0]["InferenceId"], failed) == ("7", [])
    assert json.loads(s3.objects["results/m/7.json"])["output_location"] == "s3://exchange/answers/1"


def notify(target: Any, s3: Bucket, key: str) -> list[Any]:
    notice = {"Records": [{"s3": {"bucket": {"name": "data"}, "object": {"key": key}}}]}
    event = {"Records": [{"messageId": "n", "body": json.dumps(notice)}]}
    failed: list[Any] = bucket.forward(event, target, Results(s3, "data", "results/"), "m")["batchItemFailures"]
    return failed


def test_each_line_of_an_object_has_its_line_of_results() -> None:
    s3 = Bucket(**{"input/a b.jsonl": b'"one"\n\n{"id": "x", "inputs": "two"}\n{"nothing": 1}\n'})
    assert notify(RealtimeEndpoint(Runtime(), "e"), s3, "input/a+b.jsonl") == []
    lines = [json.loads(line) for line in s3.objects["results/input/a b.jsonl.jsonl"].splitlines()]
    assert lines[:2] == [{"line": 1, "outputs": OUTPUTS}, {"line": 3, "id": "x", "outputs": OUTPUTS}]
    assert (lines[2]["line"], lines[2]["status"]) == (4, 422)


@pytest.mark.parametrize(
    ("key", "runtime"), [("input/a.png", Runtime()), ("input/a.txt", Runtime(ClientError("ServiceUnavailable")))]
)
def test_an_object_that_cannot_be_answered_now_goes_back_without_results(key: str, runtime: Runtime) -> None:
    s3 = Bucket(**{key: b"text"})
    assert notify(RealtimeEndpoint(runtime, "e"), s3, key) == [{"itemIdentifier": "n"}]
    assert s3.objects.keys() == {key}


def test_another_exception_is_not_hidden() -> None:
    with pytest.raises(KeyError):
        RealtimeEndpoint(Runtime(KeyError("x")), "e").ask(Question(b"", "/"))
