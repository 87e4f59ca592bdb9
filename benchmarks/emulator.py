"""Lambda's runtime interface emulator (AWS's own binary, from the wheel of aws-sam-cli) around a command.

What it does differently from Lambda is in docs/images.md. One invocation at a time: two at once crash it.
"""

from __future__ import annotations

import http.client
import json
import platform
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

WHEEL = "aws-sam-cli==1.170.0"
BINARIES = {"x86_64": "aws-lambda-rie-x86_64", "aarch64": "aws-lambda-rie-arm64"}
INVOCATIONS = "/2015-03-31/functions/function/invocations"
START_SECONDS = 60.0


def fetch_emulator(folder: Path) -> Path:
    """The emulator's binary for this machine in `folder`, fetched from the package index once."""
    name = BINARIES[platform.machine()]
    binary = folder / name
    if not binary.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), WHEEL]
        subprocess.run([*command, "--disable-pip-version-check"], check=True)
        [wheel] = folder.glob("aws_sam_cli-*.whl")
        with zipfile.ZipFile(wheel) as archive:
            binary.write_bytes(archive.read(f"samcli/local/rapid/{name}"))
        binary.chmod(0o755)
        wheel.unlink()
    return binary


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens on at the moment."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def emulator_flags(port: int, api_port: int) -> list[str]:
    """On loopback alone: by itself the emulator listens on every address."""
    return [
        "--log-level", "error",
        "--runtime-interface-emulator-address", f"127.0.0.1:{port}",
        "--runtime-api-address", f"127.0.0.1:{api_port}",
    ]  # fmt: skip


class Emulator:
    """A running emulator. `command` starts it; `stop` ends what a killed command would leave behind."""

    def __init__(
        self,
        command: Sequence[str],
        port: int,
        log: Path,
        *,
        environment: Mapping[str, str] | None = None,
        stop: Callable[[], object] = lambda: None,
    ) -> None:
        self._stop = stop
        self.log = log
        with log.open("wb") as stream:
            self._process = subprocess.Popen(command, stdout=stream, stderr=stream, env=environment)
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_SECONDS)
        self._wait(port)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        self._stop()
        self._process.terminate()
        self._process.wait()

    def invoke(self, event: Any) -> Any:
        """What the function returned. Raises RuntimeError with the log's end for an error of the emulator's."""
        self._connection.request("POST", INVOCATIONS, json.dumps(event))
        answer = self._connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"the emulator answered {answer.status}: {body!r}\n{self.log.read_text()[-3000:]}")
        return json.loads(body)

    def _wait(self, port: int) -> None:
        until = time.monotonic() + START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError:
                if self._process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(f"the emulator did not start:\n{self.log.read_text()[-3000:]}") from None
                time.sleep(0.02)
