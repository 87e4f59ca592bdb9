"""The endpoint that is asked: at once, or by way of S3. The standard library and the boto3 of Lambda's runtime."""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import unquote

from functions.aws import CONNECTIONS, client

REQUESTS = "requests/"
JSON = "application/json"
# The most that SageMaker gives an asynchronous invocation; left out, it gives a quarter (API: InvokeEndpointAsync).
LONGEST_SECONDS = 3600
# SageMaker hands on none of an answer's headers; layers/serving/invocations.py tells them where it is asked to.
TELL = "tell=headers"
# Of an InferenceId (API: InvokeEndpointAsync), and characters that need no thought.
INFERENCE_ID = re.compile(r"[A-Za-z0-9._:@=+-]{1,64}")
# What SageMaker says of itself, in our statuses; the container's own status comes as it is (API: InvokeEndpoint).
STATUSES = {
    "ValidationError": 400,
    "ValidationException": 400,
    "ThrottlingException": 429,
    "ModelNotReadyException": 503,
    "ServiceUnavailable": 503,
    "InternalFailure": 503,
    "InternalDependencyException": 503,
}


@dataclass(frozen=True)
class Question:
    """A request for the endpoint. `route` is the application's path; `id` names an answer that comes later.

    Without a route the endpoint tells it by the body and by `said`, the caller's own attributes. `use_cache` is the
    header `x-use-cache` as the caller sent it.
    """

    body: bytes
    route: str | None
    method: str = "POST"
    content_type: str = JSON
    accept: str = JSON
    id: str | None = None
    said: str = ""
    use_cache: str | None = None

    @property
    def attributes(self) -> str:
        """The one header that SageMaker hands on to the container."""
        if self.route is None:
            return self.said
        method = [] if self.method == "POST" else [f"method={self.method}"]
        cache = [] if self.use_cache is None else [f"x-use-cache={self.use_cache}"]
        return ";".join([*method, f"route={self.route}", *cache])


@dataclass(frozen=True)
class Answer:
    """The application's answer, or why there is none. 202: it will be at the body's `output_location`.

    `headers` are the application's, by their names in lower case. `is_models` is false where SageMaker answered in the
    model's place.
    """

    status: int
    body: bytes
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    is_models: bool = True


class Endpoint(Protocol):
    """Where questions go."""

    def ask(self, question: Question) -> Answer:
        """Never raises for what AWS answers, or when it does not: that becomes a status."""


class StreamingEndpoint(Endpoint, Protocol):
    """One that gives answers while they are made, too."""

    def stream(self, question: Question) -> tuple[Answer, Generator[bytes]]:
        """An answer whose body is still to come, part by part; or a refusal, whole and without parts.

        Raises as boto3 when the stream breaks off. Closing the generator ends the stream.
        """


@dataclass(frozen=True)
class RealtimeEndpoint:
    """Waits for the answer. `runtime` is boto3's client for sagemaker-runtime."""

    runtime: Any
    name: str

    def ask(self, question: Question) -> Answer:
        """The container's own answer, errors included; errors come without headers."""
        try:
            answer = self.runtime.invoke_endpoint(**self._call(question))
            body = answer["Body"].read()
        except Exception as error:
            return refused(error)
        return _head(question, answer, body)

    def stream(self, question: Question) -> tuple[Answer, Generator[bytes]]:
        """As `StreamingEndpoint`. SageMaker gives a container longer here than for a whole answer."""
        try:
            answer = self.runtime.invoke_endpoint_with_response_stream(**self._call(question))
        except Exception as error:
            return refused(error), no_parts()
        return _head(question, answer, b""), _parts(answer["Body"])

    def _call(self, question: Question) -> dict[str, Any]:
        sent = question.attributes
        return {
            "EndpointName": self.name,
            "Body": question.body,
            "ContentType": question.content_type,
            "Accept": question.accept,
            "CustomAttributes": sent if "tell=" in sent else ";".join(filter(None, [sent, TELL])),
        }


def _head(question: Question, answer: Mapping[str, Any], body: bytes) -> Answer:
    headers = headers_told(answer.get("CustomAttributes") or "", question.attributes)
    return Answer(200, body, answer.get("ContentType") or JSON, headers)


def no_parts() -> Generator[bytes]:
    """Of an answer that is whole."""
    yield from ()


def _parts(events: Any) -> Generator[bytes]:
    with closing(events):
        for event in events:
            yield event["PayloadPart"]["Bytes"]


def headers_told(returned: str, sent: str) -> dict[str, str]:
    """The answer's headers, which stand behind the attributes that were sent."""
    pairs = (pair.partition("=") for pair in returned.removeprefix(sent).split(";"))
    return {name: unquote(value) for name, equals, value in pairs if equals and f"{name}={value}" != TELL}


@dataclass(frozen=True)
class AsynchronousEndpoint:
    """Leaves the body in S3, where the endpoint fetches it when it has an instance."""

    runtime: Any
    s3: Any
    name: str
    bucket: str

    def ask(self, question: Question) -> Answer:
        """202 with the place of the answer, and of the failure if it becomes one."""
        inference_id = inference_id_of(question.id)
        key = f"{REQUESTS}{uuid.uuid4().hex}"
        try:
            self.s3.put_object(Bucket=self.bucket, Key=key, Body=question.body, ContentType=question.content_type)
            accepted = self.runtime.invoke_endpoint_async(
                EndpointName=self.name,
                InputLocation=f"s3://{self.bucket}/{key}",
                ContentType=question.content_type,
                Accept=question.accept,
                CustomAttributes=question.attributes,
                InferenceId=inference_id,
                InvocationTimeoutSeconds=LONGEST_SECONDS,
            )
        except Exception as error:
            return refused(error)
        place = {
            "id": inference_id,
            "output_location": accepted["OutputLocation"],
            "failure_location": accepted.get("FailureLocation"),
        }
        return Answer(202, json.dumps(place).encode())


def inference_id_of(name: str | None) -> str:
    """A record's id where SageMaker takes it as one, else its sha256; a new one where there is none."""
    if name is None:
        return uuid.uuid4().hex
    return name if INFERENCE_ID.fullmatch(name) else hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()


def refused(error: Exception) -> Answer:
    """A client's error as an answer: the container's own where it gave one. Raises what is no such error."""
    from botocore.exceptions import ConnectionError as NoConnectionError
    from botocore.exceptions import HTTPClientError, ReadTimeoutError

    if isinstance(error, ReadTimeoutError):
        return failure(504, "the endpoint did not answer in time. Ask for less at once.", "timeout", is_models=False)
    if isinstance(error, HTTPClientError | NoConnectionError):
        return failure(503, "the endpoint could not be reached. Try again later.", "endpoint", is_models=False)
    response = getattr(error, "response", None)
    if not isinstance(response, Mapping):
        raise error
    code = response.get("Error", {}).get("Code", "")
    if code == "ModelError":
        status = int(response.get("OriginalStatusCode") or 502)
        message = str(response.get("OriginalMessage") or "")
        try:
            json.loads(message)
        except ValueError:
            return _wordless(status)
        return Answer(status, message.encode())
    status = STATUSES.get(code, 502)
    kind = "overloaded" if status == 429 else "endpoint"
    return failure(status, f"the endpoint could not be asked: {code}.", kind, is_models=False)


def _wordless(status: int) -> Answer:
    """A refusal whose words were cut off on the way is one still; anything else came from no application of ours."""
    if 400 <= status < 500:
        return failure(status, "the endpoint refused the request. Its words were lost on the way.", "refused")
    return failure(status, "the endpoint failed. The cause is in its log.", "endpoint", is_models=False)


def failure(status: int, error: str, error_type: str, *, is_models: bool = True) -> Answer:
    """An error in the application's words."""
    body = json.dumps({"error": error, "error_type": error_type}).encode()
    return Answer(status, body, is_models=is_models)


def open_endpoint(name: str, exchange_bucket: str | None, wait_seconds: float) -> Endpoint:
    """The stack's endpoint; asynchronous where it exchanges requests and answers by a bucket."""
    import boto3
    from botocore.config import Config

    # Who asks knows better whether and when to ask again.
    config = Config(read_timeout=wait_seconds, retries={"total_max_attempts": 1}, max_pool_connections=CONNECTIONS)
    runtime = boto3.client("sagemaker-runtime", config=config)
    if exchange_bucket is None:
        return RealtimeEndpoint(runtime, name)
    return AsynchronousEndpoint(runtime, client("s3"), name, exchange_bucket)
