"""Servers of benchmarks: a process of its own for as long as a context lasts, on a port of loopback."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import monotonic, sleep

from benchmarks.emulator import free_ports
from benchmarks.example_artifacts import ROOT

START_SECONDS = 120.0


@contextmanager
def running(
    command: Sequence[str], is_ready: Callable[[int], bool], environment: Mapping[str, str] | None = None
) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """The port, given to `command` as its last argument, and the process, once it is ready.

    Raises RuntimeError when the process ends before that, or is not ready within START_SECONDS.
    """
    [port] = free_ports(1)
    process = subprocess.Popen(
        [*command, str(port)],
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until = monotonic() + START_SECONDS
        while not is_ready(port):
            if process.poll() is not None or monotonic() > until:
                raise RuntimeError(f"{' '.join(command)}: the server did not start")
            sleep(0.1)
        yield port, process
    finally:
        process.terminate()
        process.wait()
