"""Functions to send events to: from the image in a container, or without one on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol
from uuid import uuid4

from benchmarks.emulator import Emulator, emulator_flags, free_ports
from tests.image.containers import LIMITS, MEMORY_MIB, podman

ROOT = Path(__file__).parents[2]
LAMBDA = {"AWS_LAMBDA_FUNCTION_TIMEOUT": "60", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(MEMORY_MIB)}


class Functions(Protocol):
    """Where the functions of these tests run."""

    def start(self, command: str, environment: Mapping[str, str]) -> Emulator:
        """A function by its image's command, around it the emulator and the real runtime interface client."""

    def run(self, command: str, environment: Mapping[str, str]) -> object:
        """A command of the image as it stands; a context that ends it."""


class InContainers:
    """The image, within Lambda's limits."""

    def __init__(self, image: str, emulator: Path, work: Path) -> None:
        self._image = image
        self._emulator = emulator
        self._work = work

    def start(self, command: str, environment: Mapping[str, str]) -> Emulator:
        """The emulator is lent to the container: AWS's base has it, the look-alike has not."""
        port, api_port = free_ports(2)
        name = f"function-{uuid4().hex[:8]}"
        binary = "/usr/local/bin/aws-lambda-rie"
        options = ["--volume", f"{self._emulator}:{binary}:ro", "--entrypoint", binary]
        arguments = [*emulator_flags(port, api_port), "/var/task/entrypoint.sh", command]
        return Emulator(
            [*self._command(name, {**LAMBDA, **environment}, options), self._image, *arguments],
            port,
            self._work / f"{name}.log",
            stop=lambda: podman("kill", name),
        )

    @contextmanager
    def run(self, command: str, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
        """The image's own entry point."""
        name = f"function-{uuid4().hex[:8]}"
        with subprocess.Popen([*self._command(name, environment, []), self._image, command]) as process:
            try:
                yield process
            finally:
                podman("kill", name)
                process.wait()

    @staticmethod
    def _command(name: str, environment: Mapping[str, str], options: list[str]) -> list[str]:
        variables = [word for key, value in environment.items() for word in ("--env", f"{key}={value}")]
        return ["podman", "run", "--rm", "--name", name, *LIMITS, *variables, *options]


class OnThisMachine:
    """The same handlers without an image: emulator and client as processes."""

    def __init__(self, artifact: Path, emulator: Path, work: Path) -> None:
        self._environment = {"ARTIFACT_DIR": str(artifact), "PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]}
        self._emulator = emulator
        self._work = work

    def start(self, command: str, environment: Mapping[str, str]) -> Emulator:
        """The client is the test environment's."""
        port, api_port = free_ports(2)
        client = [sys.executable, "-m", "awslambdaric", command]
        return Emulator(
            [str(self._emulator), *emulator_flags(port, api_port), *client],
            port,
            self._work / f"function-{uuid4().hex[:8]}.log",
            environment={**self._environment, **LAMBDA, **environment},
        )

    @contextmanager
    def run(self, command: str, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
        """The module that the image's entry point would run."""
        with subprocess.Popen([sys.executable, "-m", command], env={**self._environment, **environment}) as process:
            try:
                yield process
            finally:
                process.kill()
