"""SageMaker's runtime on loopback, before a container: the REST API as boto3 speaks it, and no promise beyond it.

It does what AWS documents of InvokeEndpoint, its asynchronous form and its streaming one: hands on the body, the two
media types and the custom attributes and nothing else, gives back the same of an answer, and makes an error of the
container a ModelError.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from zlib import crc32

import httpx

ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"
HANDED_ON = ("Content-Type", "Accept", ATTRIBUTES)
REALTIME_BYTES, MOST_ATTRIBUTES, LONGEST_ID = 6 * 10**6, 1024, 64


@dataclass
class SageMaker:
    """The endpoint NAME is the container at `url`. Each of `refusals` is answered once, ahead of the container."""

    container: str
    s3: Any
    bucket: str
    url: str = ""
    refusals: list[tuple[int, str]] = field(default_factory=list)
    asked: list[dict[str, str]] = field(default_factory=list)
    clients: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=60))

    @property
    def environment(self) -> dict[str, str]:
        """What leads boto3's clients for sagemaker-runtime here."""
        return {"AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": self.url}

    def invoke(self, body: bytes, headers: dict[str, str]) -> httpx.Response:
        """The container's answer to what is handed on to it."""
        with self.opened(body, headers) as answer:
            answer.read()
        return answer

    def opened(self, body: bytes, headers: dict[str, str]) -> AbstractContextManager[httpx.Response]:
        """The same, its body still to come."""
        handed_on = {name: headers[name] for name in HANDED_ON if name in headers}
        return self.clients.stream("POST", f"{self.container}/invocations", content=body, headers=handed_on)


class _Requests(BaseHTTPRequestHandler):
    """One call of the API."""

    server: Any
    protocol_version = "HTTP/1.1"
    # One packet an answer, or each would wait for the acknowledgement of its head.
    wbufsize = -1

    def log_message(self, *_: Any) -> None:
        """Nothing."""

    def do_POST(self) -> None:
        sagemaker: SageMaker = self.server.sagemaker
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {
            name.title() if name.lower() != ATTRIBUTES.lower() else ATTRIBUTES: v for name, v in self.headers.items()
        }
        sagemaker.asked.append(headers)
        if sagemaker.refusals:
            self._refuse(*sagemaker.refusals.pop(0))
        elif len(body) > REALTIME_BYTES or len(headers.get(ATTRIBUTES, "")) > MOST_ATTRIBUTES:
            self._refuse(400, "ValidationError")
        elif self.path == "/endpoints/e/invocations":
            self._invoke(sagemaker.invoke(body, headers))
        elif self.path == "/endpoints/e/invocations-response-stream":
            self._invoke_in_parts(sagemaker, body, headers)
        elif self.path == "/endpoints/e/async-invocations":
            self._invoke_later(sagemaker, headers)
        else:
            self._refuse(400, "ValidationError")

    def _invoke(self, answer: httpx.Response) -> None:
        if not answer.is_success:
            self._refuse(424, "ModelError", _told(answer))
            return
        given = {name: answer.headers[name] for name in ("Content-Type", ATTRIBUTES) if name in answer.headers}
        self._send(200, answer.content, {**given, "x-Amzn-Invoked-Production-Variant": "AllTraffic"})

    def _invoke_in_parts(self, sagemaker: SageMaker, body: bytes, headers: dict[str, str]) -> None:
        with sagemaker.opened(body, headers) as answer:
            if not answer.is_success:
                answer.read()
                self._refuse(424, "ModelError", _told(answer))
                return
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.send_header("Content-Type", "application/vnd.amazon.eventstream")
            self.send_header("X-Amzn-SageMaker-Content-Type", answer.headers["content-type"])
            self.send_header(ATTRIBUTES, answer.headers[ATTRIBUTES])
            self.end_headers()
            for part in answer.iter_raw():
                event = event_of({":message-type": "event", ":event-type": "PayloadPart"}, part)
                self.wfile.write(b"%x\r\n%b\r\n" % (len(event), event))
                self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")

    def _invoke_later(self, sagemaker: SageMaker, headers: dict[str, str]) -> None:
        name = headers["X-Amzn-Sagemaker-Inference-Id"]
        if len(name) > LONGEST_ID:
            self._refuse(400, "ValidationError")
            return
        bucket, _, key = headers["X-Amzn-Sagemaker-Inputlocation"].removeprefix("s3://").partition("/")
        answer = sagemaker.invoke(sagemaker.s3.get_object(Bucket=bucket, Key=key)["Body"].read(), headers)
        places = {kind: f"{kind}/{name}.out" for kind in ("answers", "failures")}
        kept = places["answers" if answer.is_success else "failures"]
        sagemaker.s3.put_object(Bucket=sagemaker.bucket, Key=kept, Body=answer.content)
        told = {"Output": places["answers"], "Failure": places["failures"]}
        located = {f"X-Amzn-SageMaker-{kind}Location": f"s3://{sagemaker.bucket}/{key}" for kind, key in told.items()}
        self._send(202, json.dumps({"InferenceId": name}).encode(), located)

    def _refuse(self, status: int, code: str, more: dict[str, Any] | None = None) -> None:
        body = json.dumps({"Message": "refused", **(more or {})}).encode()
        self._send(status, body, {"x-amzn-errortype": code, "Content-Type": "application/json"})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def _told(answer: httpx.Response) -> dict[str, Any]:
    return {"OriginalStatusCode": answer.status_code, "OriginalMessage": answer.text, "Message": "of the model"}


def event_of(headers: dict[str, str], payload: bytes) -> bytes:
    """A message of AWS's event stream encoding: lengths, headers and payload, with their checksums."""
    named = b"".join(
        struct.pack(f">B{len(name)}sBH{len(value)}s", len(name), name.encode(), 7, len(value), value.encode())
        for name, value in headers.items()
    )
    prelude = struct.pack(">II", 16 + len(named) + len(payload), len(named))
    message = prelude + struct.pack(">I", crc32(prelude)) + named + payload
    return message + struct.pack(">I", crc32(message))


@contextmanager
def sagemaker(container: str, s3: Any, bucket: str) -> Iterator[SageMaker]:
    """The runtime, with `e` as its only endpoint."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Requests)
    started = SageMaker(container, s3, bucket, f"http://127.0.0.1:{server.server_address[1]}")
    server.sagemaker = started  # type: ignore[attr-defined]
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield started
    finally:
        server.shutdown()
        server.server_close()
        started.clients.close()
