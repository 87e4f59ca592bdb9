"""A small Runtime API on loopback: hands out events, and takes answers chunk by chunk as they arrive.

Lambda's own emulator buffers answers in parts, so what it cannot show is shown with this one.
"""

from __future__ import annotations

import base64
import json
import queue
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

# What a test waits for at most; it fails then and does not hang.
PATIENCE_SECONDS = 30.0


def nothing(_: Answer) -> None:
    """What is done on a chunk unless a test says otherwise."""


@dataclass
class Answer:
    """What came back for one event. `chunks` grows while the answer arrives."""

    request_id: str
    path: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    chunks: list[bytes] = field(default_factory=list)
    trailers: dict[str, str] = field(default_factory=dict)
    complete: bool = False
    arrived: threading.Event = field(default_factory=threading.Event)
    on_chunk: Callable[[Answer], None] = nothing

    @property
    def body(self) -> bytes:
        """All chunks."""
        return b"".join(self.chunks)

    @property
    def prelude(self) -> dict[str, Any]:
        """Status, headers and cookies of an answer in parts."""
        text, _, _ = self.body.partition(bytes(8))
        document: dict[str, Any] = json.loads(text)
        return document

    @property
    def content(self) -> bytes:
        """What stands after the prelude."""
        return self.body.partition(bytes(8))[2]

    @property
    def error(self) -> dict[str, Any]:
        """The error that the trailers carry."""
        document: dict[str, Any] = json.loads(base64.b64decode(self.trailers["lambda-runtime-function-error-body"]))
        return document

    def wait(self) -> Self:
        """Until everything has arrived."""
        assert self.arrived.wait(PATIENCE_SECONDS), f"no answer for {self.request_id} in {PATIENCE_SECONDS} s"
        return self


class RuntimeApiServer:
    """The API of one or more environments. Leaving the context ends them: `next` is refused from then on."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.reports: list[tuple[str, dict[str, Any]]] = []
        self.restored = threading.Event()
        self._events: queue.Queue[tuple[str, Any, float] | None] = queue.Queue()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        self._server.daemon_threads = True
        self.address = f"127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        self._server.shutdown()
        self._server.server_close()

    def send(self, event: Any, *, seconds: float = 60.0, on_chunk: Callable[[Answer], None] = nothing) -> Answer:
        """Hand out an event, with so long until its deadline; the answer that will come."""
        request_id = f"request-{len(self.answers) + 1}"
        answer = self.answers[request_id] = Answer(request_id, on_chunk=on_chunk)
        self._events.put((request_id, event, seconds))
        return answer

    def end(self, environments: int = 8) -> None:
        """Refuse further events to so many environments."""
        for _ in range(environments):
            self._events.put(None)

    def take(self) -> tuple[str, Any, float] | None:
        """The next event, waited for."""
        return self._events.get()


def _handler_of(api: RuntimeApiServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            if self.path.endswith("/restore/next"):
                api.restored.set()
                self._reply(200, b"")
                return
            taken = api.take()
            if taken is None:
                self.close_connection = True
                self._reply(500, b"ended")
                return
            request_id, event, seconds = taken
            headers = {
                "Lambda-Runtime-Aws-Request-Id": request_id,
                "Lambda-Runtime-Deadline-Ms": str(round(1000 * (time.time() + seconds))),
                "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:eu-west-1:123456789012:function:toy",
                "Lambda-Runtime-Trace-Id": f"Root=1-{request_id}",
            }
            self._reply(200, json.dumps(event).encode(), headers)

        def do_POST(self) -> None:
            parts = self.path.split("/")
            if parts[3] != "invocation":
                body = self.rfile.read(int(self.headers["Content-Length"]))
                api.reports.append((self.path, json.loads(body)))
                self._reply(202, b"")
                return
            answer = api.answers[parts[4]]
            answer.path, answer.headers = self.path, {key.lower(): value for key, value in self.headers.items()}
            if self.headers.get("Transfer-Encoding") == "chunked":
                answer.complete = self._read_chunks(answer)
            else:
                answer.chunks.append(self.rfile.read(int(self.headers["Content-Length"])))
                answer.complete = True
            if answer.complete:
                self._reply(202, b"")
            answer.arrived.set()

        def _read_chunks(self, answer: Answer) -> bool:
            while True:
                size = self.rfile.readline()
                if not size:
                    return False
                if int(size, 16) == 0:
                    break
                answer.chunks.append(self.rfile.read(int(size, 16)))
                self.rfile.readline()
                answer.on_chunk(answer)
            while (line := self.rfile.readline().strip()) != b"":
                name, _, value = line.decode("latin-1").partition(": ")
                answer.trailers[name.lower()] = value
            return True

        def _reply(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: Any) -> None:
            """Nothing: requests are not what a test prints."""

    return Handler


@contextmanager
def running(
    api: RuntimeApiServer, command: Sequence[str], environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[str]]:
    """A function's process that asks `api` for events; it has ended when the context does."""
    with subprocess.Popen(command, env=environment, cwd="/", stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            api.end()
            try:
                process.wait(PATIENCE_SECONDS)
            finally:
                process.kill()
