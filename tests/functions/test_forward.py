"""Functions before an endpoint, by themselves: what they ask, what they make of answers, and what never reaches it."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError, ReadTimeoutError

from functions.asking import Answered, Asked, Outcome
from functions.check.questions import check, http_event
from functions.forward.endpoint import AsynchronousEndpoint, Endpoint, Question, RealtimeEndpoint
from functions.forward.models import WAITS_SECONDS, EndpointError, EndpointModels
from functions.forward.settings import ForwardSettings
from functions.forward.url_events import UrlFunction
from functions.https.answers import LAMBDA_ANSWER_BYTES
from layers.errors import InputError
from layers.runtime.request import Request

SETTINGS = ForwardSettings("e", "m", "t", "d", "v", "text")
OUTPUTS = [[{"label": "a", "score": 0.5}]]
TOOK = "x-compute-tokens=14;x-truncated-tokens=2;x-compute-time=9.5;x-inference-time=5.0;x-tokenization-time=4.0"


class ClientError(Exception):
    """As botocore raises it."""

    def __init__(self, code: str, **more: Any) -> None:
        super().__init__(code)
        self.response = {"Error": {"Code": code}, **more}


def of_the_model(status: int, content: str) -> ClientError:
    return ClientError("ModelError", OriginalStatusCode=status, OriginalMessage=content)


BUSY = ClientError("ThrottlingException")


class Runtime:
    """SageMaker's runtime; gives or raises each of `answers` in turn, and the last of them from then on."""

    def __init__(self, *answers: Any, told: str = "") -> None:
        self.answers = list(answers or [OUTPUTS])
        self.told = told
        self.calls: list[dict[str, Any]] = []

    def invoke_endpoint(self, **call: Any) -> dict[str, Any]:
        self.calls.append(call)
        content = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(content, Exception):
            raise content
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        returned = {"CustomAttributes": f"{call['CustomAttributes']};{self.told}"} if self.told else {}
        return {"Body": io.BytesIO(body), "ContentType": "application/json", **returned}

    def invoke_endpoint_async(self, **call: Any) -> dict[str, Any]:
        self.calls.append(call)
        return {"OutputLocation": "s3://exchange/answers/1", "FailureLocation": "s3://exchange/failures/1"}


class Bucket:
    """S3, as a dictionary."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def put_object(self, *, Key: str, Body: bytes, **_: Any) -> None:  # noqa: N803
        self.objects[Key] = Body


def asynchronous(runtime: Runtime, s3: Bucket | None = None) -> AsynchronousEndpoint:
    return AsynchronousEndpoint(runtime, s3 or Bucket(), "e", "exchange")


# The URL


def answer(runtime: Runtime, event: dict[str, Any], settings: ForwardSettings = SETTINGS) -> dict[str, Any]:
    return UrlFunction(RealtimeEndpoint(runtime, "e"), settings).answer(event)


def post(runtime: Runtime, path: str = "/models/m", body: Any = None) -> dict[str, Any]:
    return answer(runtime, http_event("POST", path, body or {"inputs": "x"}))


def test_a_request_goes_to_its_route_and_the_answer_comes_back_with_its_headers() -> None:
    runtime = Runtime(told="x-compute-tokens=14;x-note=a%3Bb%2C c")
    given = post(runtime, "/v1/embeddings", {"input": "x"})
    assert (given["statusCode"], json.loads(given["body"])) == (200, OUTPUTS)
    assert given["headers"] == {"content-type": "application/json", "x-compute-tokens": "14", "x-note": "a;b, c"}
    [call] = runtime.calls
    assert (call["EndpointName"], call["CustomAttributes"]) == ("e", "route=/v1/embeddings;tell=headers")
    assert json.loads(call["Body"]) == {"input": "x"}


def test_other_methods_go_along_and_a_body_is_never_empty() -> None:
    runtime = Runtime()
    event = http_event("GET", "/prod//info")
    event["headers"] |= {"accept": "text/html", "X-Use-Cache": "false"}
    event["requestContext"]["stage"] = "prod"
    answer(runtime, event)
    [call] = runtime.calls
    assert call["CustomAttributes"] == "method=GET;route=/info;x-use-cache=false;tell=headers"
    assert (call["Accept"], call["Body"]) == ("text/html", b"{}")


def test_a_probe_for_the_head_alone_is_asked_as_get() -> None:
    now, later = Runtime(), Runtime()
    assert answer(now, http_event("HEAD", "/health"))["statusCode"] == 200
    assert now.calls[0]["CustomAttributes"] == "method=GET;route=/health;tell=headers"
    function = UrlFunction(asynchronous(later), replace(SETTINGS, exchange_bucket="exchange"))
    assert function.answer(http_event("HEAD", "/health"))["statusCode"] == 200
    assert later.calls == []


@pytest.mark.parametrize(("said", "sent"), [("", "tell=headers"), ("a,task=rerank", "a,task=rerank;tell=headers")])
def test_sagemakers_own_route_is_the_endpoints_to_read(said: str, sent: str) -> None:
    runtime = Runtime(told="x-compute-tokens=14")
    event = http_event("POST", "/invocations", {"input": "x"})
    event["headers"] |= {"X-Amzn-SageMaker-Custom-Attributes": said} if said else {}
    assert answer(runtime, event)["headers"]["x-compute-tokens"] == "14"
    assert runtime.calls[0]["CustomAttributes"] == sent


def test_a_body_in_base64_is_sent_as_its_bytes_and_bytes_come_back_so() -> None:
    runtime = Runtime(b"\xff\x00")
    given = answer(runtime, http_event("POST", "/") | {"body": "gQ==", "isBase64Encoded": True})
    assert runtime.calls[0]["Body"] == b"\x81"
    assert (given["isBase64Encoded"], base64.b64decode(given["body"])) == (True, b"\xff\x00")


def test_the_containers_own_refusal_keeps_status_and_words() -> None:
    said = json.dumps({"error": "no inputs", "error_type": "validation"})
    given = post(Runtime(of_the_model(422, said)))
    assert (given["statusCode"], given["body"]) == (422, said)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (BUSY, 429),
        (ClientError("ServiceUnavailable"), 503),
        (ClientError("ValidationError"), 400),
        (ClientError("AccessDenied"), 502),
        (ReadTimeoutError(endpoint_url="e"), 504),
        (EndpointConnectionError(endpoint_url="e"), 503),
    ],
)
def test_what_aws_says_or_does_not_say_becomes_a_status(error: Exception, status: int) -> None:
    given = post(Runtime(error))
    assert given["statusCode"] == status
    assert ("retry-after" in given["headers"]) is (status in (429, 503))


@pytest.mark.parametrize(
    ("runtime", "status", "kind"),
    [
        (Runtime(BUSY), 429, "rate_limit_exceeded"),
        (Runtime(ReadTimeoutError(endpoint_url="e")), 504, "server_error"),
        (Runtime(of_the_model(400, '{"error": {"type": "of the application"}}')), 400, "of the application"),
    ],
)
def test_errors_are_openais_below_v1(runtime: Runtime, status: int, kind: str) -> None:
    given = post(runtime, "/v1/embeddings", {"input": "x"})
    assert (given["statusCode"], json.loads(given["body"])["error"]["type"]) == (status, kind)
    large = post(runtime, "/models/m/v1/embeddings", {"input": "x" * SETTINGS.max_body_bytes})
    assert (large["statusCode"], json.loads(large["body"])["error"]["type"]) == (413, "invalid_request_error")


def test_another_exception_is_not_hidden() -> None:
    with pytest.raises(KeyError):
        RealtimeEndpoint(Runtime(KeyError("x")), "e").ask(Question(b"", "/"))


def test_insides_of_a_container_are_not_shown() -> None:
    given = post(Runtime(of_the_model(500, "Traceback: secret")))
    assert given["statusCode"] == 500
    assert "secret" not in given["body"]


def test_what_neither_the_endpoint_nor_lambda_carries_is_a_413_that_says_what_to_do() -> None:
    runtime = Runtime("x" * LAMBDA_ANSWER_BYTES)
    large = post(runtime, body={"inputs": "x" * SETTINGS.max_body_bytes})
    assert not runtime.calls
    assert (large["statusCode"], json.loads(large["body"])["error_type"]) == (413, "too_large")
    assert "got 2000014 bytes, expected at most 2000000. Send it in parts" in large["body"]
    settings = replace(SETTINGS, max_body_bytes=10**7)
    assert answer(runtime, http_event("POST", "/", {"inputs": "x" * 6_000_000}), settings)["statusCode"] == 413
    answered = post(runtime)
    assert (answered["statusCode"], json.loads(answered["body"])["error_type"]) == (413, "answer_too_large")


@pytest.mark.parametrize(
    ("event", "status"),
    [
        (http_event("GET", "/invocations"), 405),
        (http_event("POST", "/a,model=b", {}), 404),
        (http_event("POST", "/a b", {}), 404),
        (http_event("POST", "/" + "a" * 1000, {}), 404),
        (http_event("POST", "/") | {"body": "%", "isBase64Encoded": True}, 400),
        (http_event("POST", "/", {}) | {"headers": {"x-use-cache": "a;model=b"}}, 422),
    ],
)
def test_what_is_no_request_for_the_endpoint_does_not_reach_it(event: dict[str, Any], status: int) -> None:
    runtime = Runtime()
    given = answer(runtime, event)
    assert given["statusCode"] == status
    assert json.loads(given["body"]).keys() == {"error", "error_type"}
    assert not runtime.calls


@pytest.mark.parametrize("later", [False, True])
def test_the_golden_check_takes_these_answers(later: bool) -> None:
    """What is asked before traffic moves is asked through these functions."""
    now = RealtimeEndpoint(Runtime({"digest": "d"}, OUTPUTS), "e")
    target: Endpoint = asynchronous(Runtime()) if later else now
    function = UrlFunction(target, replace(SETTINGS, exchange_bucket="exchange" if later else None))

    class Clients:
        def invoke(self, _arn: str, event: dict[str, Any]) -> dict[str, Any]:
            return function.answer(event)

        def read_object(self, bucket: str, key: str) -> bytes:
            assert (bucket, key) == ("exchange", "answers/1")
            return json.dumps(OUTPUTS).encode()

    goldens = {"m": [{"inputs": "x", "outputs": OUTPUTS, "tolerance": 0.01}]}
    assert check(Clients(), "arn", {"m": "d"}, goldens, remaining_seconds=lambda: 60) == 1


# The model, as the queue and bucket functions ask it


def ask(*requests: Request, target: Endpoint, slept: list[float] | None = None, name: str = "7") -> list[Outcome]:
    models = EndpointModels(target, "m", "t", sleep=[].append if slept is None else slept.append)
    return models.answer([Asked("m", request, name) for request in requests])


def test_a_record_is_asked_by_its_task_and_says_what_it_took() -> None:
    runtime = Runtime(told=TOOK)
    asked = [Request("x", {"top_k": 1}), Request("❤ \ud800", task="rerank")]
    outcomes = ask(*asked, target=RealtimeEndpoint(runtime, "e"))
    assert outcomes == 2 * [Answered({"outputs": OUTPUTS}, 14, 2, 0, 4.0, 5.0, 0.5)]
    calls = {call["CustomAttributes"]: json.loads(call["Body"]) for call in runtime.calls}
    assert calls == {
        "route=/models/m/pipeline/t;tell=headers": {"inputs": "x", "parameters": {"top_k": 1}},
        "route=/models/m/pipeline/rerank;tell=headers": {"inputs": "❤ \ud800"},
    }


def test_an_answer_that_says_nothing_of_itself_is_an_answer() -> None:
    assert ask(Request("x"), target=RealtimeEndpoint(Runtime(), "e")) == [Answered({"outputs": OUTPUTS})]


@pytest.mark.parametrize(
    ("request_", "status"), [(Request("x", task="a/b"), 404), (Request("x", {"stream": True}), 422)]
)
def test_a_record_that_cannot_be_asked_is_refused(request_: Request, status: int) -> None:
    runtime = Runtime()
    [outcome] = ask(request_, target=RealtimeEndpoint(runtime, "e"))
    assert isinstance(outcome, InputError)
    assert (outcome.status, runtime.calls) == (status, [])


@pytest.mark.parametrize(
    ("error", "waits"),
    [
        (BUSY, 1),
        (of_the_model(429, '{"error": "too many requests", "error_type": "overloaded"}'), 1),
        (of_the_model(503, '{"error": "starting", "error_type": "starting"}'), 1),
        (ClientError("ValidationError"), 0),
        (ClientError("AccessDenied"), 0),
        (ReadTimeoutError(endpoint_url="e"), 0),
        (KeyError("a fault of ours"), 0),
        (of_the_model(500, "the process has died"), 0),
        (of_the_model(0, "the invocation took too long"), 0),
    ],
)
def test_what_is_no_records_fault_is_tried_again_soon_or_later(error: Exception, waits: int) -> None:
    slept: list[float] = []
    [outcome] = ask(Request("x"), target=RealtimeEndpoint(Runtime(error, OUTPUTS), "e"), slept=slept)
    assert slept == list(WAITS_SECONDS[:waits])
    if not waits:
        assert isinstance(outcome, InputError)
        assert outcome.status == 429
    else:
        assert outcome == Answered({"outputs": OUTPUTS})


def test_an_endpoint_that_stays_busy_is_left_alone() -> None:
    slept: list[float] = []
    [outcome] = ask(Request("x"), target=RealtimeEndpoint(Runtime(BUSY), "e"), slept=slept)
    assert slept == list(WAITS_SECONDS)
    assert isinstance(outcome, InputError)
    assert outcome.status == 429


def test_a_models_refusal_is_final_and_its_failure_is_this_requests_alone() -> None:
    said = [(422, "validation"), (500, "internal")]
    runtime = Runtime(*(of_the_model(status, json.dumps({"error": "no", "error_type": kind})) for status, kind in said))
    [refused] = ask(Request("x"), target=RealtimeEndpoint(runtime, "e"))
    [failed] = ask(Request("x"), target=RealtimeEndpoint(runtime, "e"))
    assert isinstance(refused, InputError)
    assert (str(refused), refused.status, refused.error_type) == ("no", 422, "validation")
    assert isinstance(failed, EndpointError)
    assert len(runtime.calls) == 2


def test_a_refusal_whose_words_were_cut_off_is_one_still() -> None:
    [outcome] = ask(Request("x"), target=RealtimeEndpoint(Runtime(of_the_model(422, '{"error": "unkn')), "e"))
    assert isinstance(outcome, InputError)
    assert (outcome.status, outcome.error_type) == (422, "refused")


def test_an_asynchronous_request_lies_in_s3_and_is_known_by_an_id_that_sagemaker_takes() -> None:
    runtime, s3 = Runtime(), Bucket()
    for name in ("7", "i" * 65, "ü b"):
        [outcome] = ask(Request("x"), target=asynchronous(runtime, s3), name=name)
        assert isinstance(outcome, Answered)
        assert outcome.fields() == {
            "output_location": "s3://exchange/answers/1",
            "failure_location": "s3://exchange/failures/1",
        }
    first, *others = [call["InferenceId"] for call in runtime.calls]
    assert first == "7"
    assert {len(name) for name in others} == {64}
    assert {json.loads(body)["inputs"] for body in s3.objects.values()} == {"x"}
    assert runtime.calls[0]["InputLocation"] in {f"s3://exchange/{key}" for key in s3.objects}
    assert all(key.startswith("requests/") for key in s3.objects)
    assert {call["InvocationTimeoutSeconds"] for call in runtime.calls} == {3600}, "SageMaker's own default is 900"
