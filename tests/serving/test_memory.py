"""Memory does not grow with the number of requests."""

from __future__ import annotations

import gc
import json
import os
from pathlib import Path

from fastapi.testclient import TestClient

from layers.runtime.predictor import Predictor
from layers.runtime.settings import Settings
from layers.serving.application import create_app
from tests.runtime.toy_artifact import Toy
from tests.serving.conftest import Serve

REQUESTS = max(800, int(os.environ.get("FUZZ_EXAMPLES", "0")) * 5)
# Much less than one request's own objects, times the requests; an allocator's habits are a few megabytes.
ALLOWED_BYTES = 6 * 2**20
LEAK_BYTES = 10_000

GOOD = {"inputs": "an editor for text files"}
BODIES = [
    json.dumps(GOOD).encode(),
    json.dumps({**GOOD, "parameters": {"unknown": "x" * LEAK_BYTES}}).encode(),
    json.dumps({"inputs": ["a"] * 33}).encode(),
    b'{"inputs": ' + b"[" * 5000 + b"]" * 5000 + b"}",
    b'{"inputs": "\xff"}',
    json.dumps({"inputs": "editor " * 2000}).encode(),
]


def resident_bytes() -> int:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def test_requests_leave_nothing_behind(serve: Serve) -> None:
    client = serve("toy", response_cache_bytes=2**20)
    send(client, "/", REQUESTS // 2)
    before = resident_bytes()
    send(client, "/", REQUESTS)
    assert resident_bytes() - before < ALLOWED_BYTES
    assert REQUESTS * LEAK_BYTES > ALLOWED_BYTES, "a leak of one body would be seen"


def test_streams_leave_nothing_behind(artifacts: dict[str, Toy], writer: Predictor) -> None:
    client = TestClient(create_app({"writer": writer}, Settings(artifact_dir=artifacts["toy"].directory)))
    body = {"inputs": "an editor", "stream": True, "parameters": {"max_new_tokens": 2}}

    def stream(count: int) -> None:
        for _ in range(count):
            assert client.post("/", json=body).status_code == 200

    stream(REQUESTS // 8)
    before = resident_bytes()
    stream(REQUESTS // 4)
    assert resident_bytes() - before < ALLOWED_BYTES


def send(client: TestClient, path: str, count: int) -> None:
    for number in range(count):
        body = BODIES[number % len(BODIES)].replace(b"files", b"files %d" % number)
        assert client.post(path, content=body).status_code in (200, 400, 422)
