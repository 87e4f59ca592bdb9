"""The release is written twice, because an image has no installed package to ask."""

from __future__ import annotations

import tomllib
from pathlib import Path

from layers.serving.release import RELEASE


def test_the_code_knows_its_release() -> None:
    pyproject = Path(__file__).resolve().parents[2] / "pyproject.toml"
    assert tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]["version"] == RELEASE
