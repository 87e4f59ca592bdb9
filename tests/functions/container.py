"""An endpoint's container, as a process: its command, its port, and the wait until it can answer."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from benchmarks.emulator import free_ports

ROOT = Path(__file__).parents[2]
WAIT_SECONDS = 60


@contextmanager
def container(model_data: Path, **environment: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The container's command with the model data there; its URL and the process, which is killed at the end."""
    [port] = free_ports(1)
    command = [sys.executable, "-m", "functions.gpu", "serve", "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(
        [*command, "--model-data", str(model_data)],
        cwd=ROOT,
        env={**{key: value for key, value in os.environ.items() if key != "ARTIFACT_DIR"}, **environment},
        stderr=subprocess.PIPE,
    )
    try:
        yield f"http://127.0.0.1:{port}", process
    finally:
        process.kill()
        process.communicate()


def await_ping(url: str, process: subprocess.Popen[bytes]) -> list[int]:
    """Statuses of /ping until it is 200; a refused connection is 0."""
    statuses: list[int] = []
    deadline = time.monotonic() + WAIT_SECONDS
    while (not statuses or statuses[-1] != 200) and time.monotonic() < deadline and process.poll() is None:
        try:
            statuses.append(httpx.get(f"{url}/ping").status_code)
        except httpx.TransportError:
            statuses.append(0)
        time.sleep(0.02)
    return statuses
