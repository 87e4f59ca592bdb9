"""The endpoint that is asked: at once, or by way of S3. The standard library and the boto3 of Lambda's runtime."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

REQUESTS = "requests/"
JSON = "application/json"
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

    Without a route the endpoint tells it by the body and by `said`, the caller's own attributes.
    """

    body: bytes
    route: str | None
    content_type: str = JSON
    accept: str = JSON
    id: str | None = None
    said: str = ""

    @property
    def attributes(self) -> str:
        """The one header that SageMaker hands on to the container."""
        return self.said if self.route is None else f"route={self.route}"


@dataclass(frozen=True)
class Answer:
    """The application's answer, or why there is none. 202: it will be at the body's `output_location`."""

    status: int
    body: bytes
    content_type: str = JSON


class Endpoint(Protocol):
    """Where questions go."""

    def ask(self, question: Question) -> Answer:
        """Never raises for what AWS answers: that becomes a status."""


@dataclass(frozen=True)
class RealtimeEndpoint:
    """Waits for the answer. `runtime` is boto3's client for sagemaker-runtime."""

    runtime: Any
    name: str

    def ask(self, question: Question) -> Answer:
        """The container's own answer, errors included."""
        try:
            answer = self.runtime.invoke_endpoint(
                EndpointName=self.name,
                Body=question.body,
                ContentType=question.content_type,
                Accept=question.accept,
                CustomAttributes=question.attributes,
            )
        except Exception as error:
            return refused(error)
        return Answer(200, answer["Body"].read(), answer.get("ContentType") or JSON)


@dataclass(frozen=True)
class AsynchronousEndpoint:
    """Leaves the body in S3, where the endpoint fetches it when it has an instance."""

    runtime: Any
    s3: Any
    name: str
    bucket: str

    def ask(self, question: Question) -> Answer:
        """202 with the place of the answer, and of the failure if it becomes one."""
        inference_id = question.id or uuid.uuid4().hex
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
            )
        except Exception as error:
            return refused(error)
        place = {
            "id": inference_id,
            "output_location": accepted["OutputLocation"],
            "failure_location": accepted.get("FailureLocation"),
        }
        return Answer(202, json.dumps(place).encode())


def refused(error: Exception) -> Answer:
    """A client's error as an answer: the container's own where it gave one. Raises what is no such error."""
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
            return failure(status, "the endpoint failed. The cause is in its log.", "endpoint")
        return Answer(status, message.encode())
    return failure(STATUSES.get(code, 502), f"the endpoint could not be asked: {code}.", "endpoint")


def failure(status: int, error: str, error_type: str) -> Answer:
    """An error in the application's words."""
    return Answer(status, json.dumps({"error": error, "error_type": error_type}).encode())


@cache
def endpoint() -> Endpoint:
    """The stack's endpoint, from the environment; clients are made once a process."""
    import boto3
    from botocore.config import Config

    # Callers try again; SageMaker gives a container 60 s.
    runtime = boto3.client("sagemaker-runtime", config=Config(read_timeout=65, retries={"total_max_attempts": 1}))
    name = os.environ["FORWARD_ENDPOINT"]
    if os.environ["FORWARD_MODE"] == "realtime":
        return RealtimeEndpoint(runtime, name)
    return AsynchronousEndpoint(runtime, boto3.client("s3"), name, os.environ["FORWARD_EXCHANGE_BUCKET"])
