"""Where the events go: a container of the real image where this machine runs one, and processes where it does not.

Run by `make image-test`; `make test` leaves this folder out. The summary says which of the two it was.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.emulator import fetch_emulator
from layers.packaging.image import Packing
from tests.functions.stand_in import StandIn, stand_in
from tests.image.containers import BASE_IMAGE, prepare, why_not
from tests.image.functions import Functions, InContainers, OnThisMachine

ROOT = Path(__file__).parents[2]
WORK = ROOT / "build" / "image-test"
MODEL = "debian-sections"

os.environ.update(prepare(WORK))
REASON = why_not(WORK)
# What an image holds can be looked at only where there is one.
collect_ignore = ["test_image.py", "test_endpoint_image.py"] if REASON else []


@pytest.fixture(scope="session")
def artifact() -> Path:
    """The built model; built now where it is not."""
    command = [sys.executable, "build_artifacts.py", MODEL, "--output", str(ROOT / "build")]
    if not (ROOT / "build" / MODEL / "manifest.json").is_file():
        subprocess.run(command, cwd=ROOT, check=True)
    return ROOT / "build" / MODEL


@pytest.fixture(scope="session")
def image(artifact: Path) -> str:
    """The image, built by the project's own code."""
    return Packing("x86_64", ROOT / "build", "podman", BASE_IMAGE).pack(artifact, tag="localhost/hundredfold-test:1")


@pytest.fixture(scope="session")
def functions(request: pytest.FixtureRequest, artifact: Path) -> Functions:
    """Functions to start."""
    emulator = fetch_emulator(WORK)
    if REASON:
        return OnThisMachine(artifact, emulator, WORK)
    return InContainers(request.getfixturevalue("image"), emulator, WORK)


@pytest.fixture(scope="session")
def aws() -> Iterator[StandIn]:
    """moto's server, in place of S3 and SQS."""
    with stand_in() as server:
        yield server


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says what the results are worth."""
    passed = len(terminalreporter.stats.get("passed", []))
    where = (
        f"WITHOUT a container ({REASON}): emulator and runtime client as processes of this machine"
        if REASON
        else "in containers of the real image on a look-alike base, within Lambda's limits"
    )
    terminalreporter.write_line(f"image-test: {passed} passed {where}.")
