"""The init phase's budget: counted from the start of the process, and only where Lambda counts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from functions.init_phase import process_age_seconds, warm_until


@pytest.mark.parametrize("environ", [{}, {"AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand"}])
def test_what_the_process_has_used_is_counted(environ: dict[str, str]) -> None:
    assert warm_until(8.0, environ, age_seconds=lambda: 2.5, clock=lambda: 100.0) == 105.5


@pytest.mark.parametrize("kind", ["provisioned-concurrency", "snap-start"])
def test_an_init_that_nobody_waits_for_has_no_limit(kind: str) -> None:
    assert warm_until(8.0, {"AWS_LAMBDA_INITIALIZATION_TYPE": kind}, age_seconds=lambda: 60.0) is None


def test_the_age_is_counted_from_the_kernels_files(tmp_path: Path) -> None:
    ticks = os.sysconf("SC_CLK_TCK")
    fields = " ".join(["S", *["0"] * 18, str(40 * ticks), "0"])
    (tmp_path / "stat").write_text(f"7 (a (b) c) {fields}\n")
    (tmp_path / "uptime").write_text("42.50 80.00\n")
    assert process_age_seconds(tmp_path / "stat", tmp_path / "uptime") == 2.5


def test_a_process_that_waited_is_older() -> None:
    code = "import time; time.sleep(0.2); from functions.init_phase import process_age_seconds as age; print(age())"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert float(done.stdout) >= 0.2


def test_without_the_kernels_files_the_age_is_nothing(tmp_path: Path) -> None:
    assert process_age_seconds(tmp_path / "none", tmp_path / "none") == 0.0
