"""Lambda's Runtime API (docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html), answers in parts included.

Python's runtime interface client cannot stream, so this speaks to the API itself, with the standard library alone.
"""

from __future__ import annotations

import base64
import http.client
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

VERSION = "/2018-06-01/runtime"
JSON = "application/json"
HTTP_INTEGRATION = "application/vnd.awslambda.http-integration-response"
ERROR_TYPE = "Lambda-Runtime-Function-Error-Type"
ERROR_BODY = "Lambda-Runtime-Function-Error-Body"


class RuntimeApiError(Exception):
    """The Runtime API refused a call. `fatal` asks the runtime to end (docs: Container error)."""

    def __init__(self, message: str, *, fatal: bool) -> None:
        super().__init__(message)
        self.fatal = fatal


@dataclass(frozen=True, slots=True)
class Invocation:
    """One event and what Lambda says about it; also the `context` that handlers take."""

    aws_request_id: str
    deadline_ms: int
    invoked_function_arn: str
    trace_id: str | None
    event: Any = field(repr=False)
    now: Callable[[], float] = field(default=time.time, repr=False)

    def get_remaining_time_in_millis(self) -> int:
        """Until Lambda ends the environment."""
        return max(0, self.deadline_ms - round(1000 * self.now()))


class RuntimeApi:
    """The side of the function. One call at a time, over a connection that is kept."""

    def __init__(self, address: str) -> None:
        # No timeout: between events the environment is frozen, for hours if need be.
        self._connection = http.client.HTTPConnection(address)

    def next(self) -> Invocation:
        """Wait for the next event."""
        answer, body = self._call("GET", f"{VERSION}/invocation/next")
        return Invocation(
            aws_request_id=answer.getheader("Lambda-Runtime-Aws-Request-Id", ""),
            deadline_ms=int(answer.getheader("Lambda-Runtime-Deadline-Ms", "0")),
            invoked_function_arn=answer.getheader("Lambda-Runtime-Invoked-Function-Arn", ""),
            trace_id=answer.getheader("Lambda-Runtime-Trace-Id"),
            event=json.loads(body),
        )

    def respond(self, request_id: str, answer: Any) -> None:
        """Give a whole answer."""
        body = json.dumps(answer, ensure_ascii=False).encode("utf-8", "surrogatepass")
        self._call("POST", f"{VERSION}/invocation/{request_id}/response", body, {"Content-Type": JSON})

    def respond_in_parts(self, request_id: str) -> ResponseStream:
        """Begin an answer to an HTTP client that is given in parts."""
        return ResponseStream(self._connection, request_id)

    def fail(self, request_id: str, error_type: str, message: str) -> None:
        """Say that the event could not be handled at all."""
        self._report(f"{VERSION}/invocation/{request_id}/error", error_type, message)

    def fail_init(self, error_type: str, message: str) -> None:
        """Say that this environment could not start."""
        self._report(f"{VERSION}/init/error", error_type, message)

    def restored(self) -> None:
        """Let the snapshot be taken; returns in every environment that is restored from it."""
        self._call("GET", f"{VERSION}/restore/next")

    def fail_restore(self, error_type: str, message: str) -> None:
        """Say that this environment could not be restored."""
        self._report(f"{VERSION}/restore/error", error_type, message)

    def _report(self, path: str, error_type: str, message: str) -> None:
        self._call("POST", path, error_document(error_type, message), {"Content-Type": JSON, ERROR_TYPE: error_type})

    def _call(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[http.client.HTTPResponse, bytes]:
        try:
            self._connection.request(method, path, body, headers or {})
            return read_answer(self._connection)
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise


class ResponseStream:
    """An answer under way: chunks as they come, and an end or a failure. Raises OSError when nobody takes it."""

    def __init__(self, connection: http.client.HTTPConnection, request_id: str) -> None:
        self._connection = connection
        connection.putrequest("POST", f"{VERSION}/invocation/{request_id}/response", skip_accept_encoding=True)
        connection.putheader("Lambda-Runtime-Function-Response-Mode", "streaming")
        connection.putheader("Content-Type", HTTP_INTEGRATION)
        connection.putheader("Transfer-Encoding", "chunked")
        connection.putheader("Trailer", f"{ERROR_TYPE}, {ERROR_BODY}")
        connection.endheaders()

    def write(self, data: bytes) -> None:
        """Send a part now. An empty one would be the end, and is left out."""
        if data:
            self._connection.send(b"%x\r\n%b\r\n" % (len(data), data))

    def end(self) -> None:
        """Everything has been sent."""
        self._finish(b"")

    def fail(self, error_type: str, message: str) -> None:
        """What was begun cannot be finished: the caller sees a broken answer, and Lambda counts an error."""
        body = base64.b64encode(error_document(error_type, message)).decode("ascii")
        self._finish(f"{ERROR_TYPE}: {error_type}\r\n{ERROR_BODY}: {body}\r\n".encode("latin-1"))

    def abandon(self) -> None:
        """Nobody takes the rest. The connection is of no more use; the next call opens another."""
        self._connection.close()

    def _finish(self, trailers: bytes) -> None:
        self._connection.send(b"0\r\n" + trailers + b"\r\n")
        read_answer(self._connection)


def read_answer(connection: http.client.HTTPConnection) -> tuple[http.client.HTTPResponse, bytes]:
    """The API's answer and its body. Raises RuntimeApiError for a refusal."""
    answer = connection.getresponse()
    body = answer.read()
    if answer.status >= 300:
        told = body[:500].decode("utf-8", "replace")
        raise RuntimeApiError(f"the Runtime API answered {answer.status}: {told}", fatal=answer.status >= 500)
    return answer, body


def error_document(error_type: str, message: str) -> bytes:
    """An error as Lambda reads it."""
    return json.dumps({"errorType": error_type, "errorMessage": message, "stackTrace": []}).encode("ascii")
