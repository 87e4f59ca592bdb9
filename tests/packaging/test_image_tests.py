"""Where the image's tests run: in containers, or without one where the machine has no engine or forbids it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.image.containers import BASE_IMAGE, why_not

ROOT = Path(__file__).parents[2]


def test_without_an_engine_the_events_go_to_processes(tmp_path: Path) -> None:
    """The suite itself, with nothing in PATH: it leaves out what looks into an image, and says so."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "--quiet", "tests/image"]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "tests/image/test_events.py::" in done.stdout
    assert "tests/image/test_image.py" not in done.stdout
    assert "tests/image/test_endpoint_image.py" not in done.stdout
    assert "WITHOUT a container (podman, runc, mmdebstrap not installed)" in done.stdout


def test_a_machine_that_forbids_containers_is_found_by_running_one(tmp_path: Path) -> None:
    def run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        forbidden = command[:2] == ["podman", "run"]
        return subprocess.CompletedProcess(list(command), int(forbidden), "", "operation not permitted\n")

    assert why_not(tmp_path, lambda name: f"/usr/bin/{name}", run) == "podman run: operation not permitted"


def test_containers_are_used_where_one_ran(tmp_path: Path) -> None:
    ran: list[Sequence[str]] = []

    def run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        ran.append(command)
        return subprocess.CompletedProcess(list(command), 0, "", "")

    assert why_not(tmp_path, lambda name: f"/usr/bin/{name}", run) is None
    assert ran[-1][:2] == ["podman", "run"]
    assert ran[-1][-2:] == [BASE_IMAGE, "true"]
