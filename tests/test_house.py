"""The house rules that a program can check: sizes, names, and no model_type tests outside the registry."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAXIMUM_LINES = 400
SAYS_NOTHING = {"utils", "util", "helpers", "helper", "common", "manager", "base", "misc"}


def sources() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in listed.stdout.split() if not name.startswith("examples/models/training/")]


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_file_keeps_the_house(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MAXIMUM_LINES
    assert path.stem not in SAYS_NOTHING
    assert not re.search(r"if .*model_type\s*==", text), "differences between architectures are configurations"
    if path.name != "__init__.py" or text.strip():
        assert text.lstrip().startswith('"""'), "a module opens with what it is for"


def test_no_patching() -> None:
    words = ("mock." + "patch", "monkeypatch." + "setattr")
    for path in sources():
        assert not any(word in path.read_text(encoding="utf-8") for word in words), f"{path}: pass a fake instead"
