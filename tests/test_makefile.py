"""The Makefile's own refusals."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.pages import ROOT


def test_a_python_that_is_too_old_is_named_before_anything_is_installed(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text('#!/bin/sh\ntest "$1" = --version && echo "Python 3.10.13"\nexit 1\n', encoding="utf-8")
    old.chmod(0o755)
    command = ["make", "install", f"PYTHON={old}", f"VENV={tmp_path / 'venv'}"]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert made.returncode == 2
    assert f"got Python 3.10.13 of PYTHON={old}, expected 3.11 or newer" in made.stderr
    assert not (tmp_path / "venv").exists()
