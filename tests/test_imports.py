"""Imports go one way: functions -> serving -> runtime -> artifact; compiler and runtime meet only in the gate."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Stratum -> strata it may import besides itself. `contract` is artifact, catalogue and errors.
ALLOWED = {
    "contract": set(),
    "runtime": {"contract"},
    "serving": {"contract", "runtime"},
    "functions": {"contract", "runtime", "serving"},
    "compiler": {"contract"},
    "infra": {"contract"},
    "build_artifacts": {"contract", "compiler"},
}
# The gate runs candidates through the runtime, so that what is measured is what is served.
GATE = {"gate", "timing", "parity", "draft", "trial", "build", "generative_build", "goldens"}
# What an image does not have, and what a handler must not load at start.
BUILD_ONLY = {"torch", "transformers", "onnx", "onnx_ir", "onnxscript", "safetensors", "sentencepiece", "typer", "rich"}


def stratum_of(module: str) -> str | None:
    parts = module.split(".")
    if parts[0] in ("functions", "infra", "build_artifacts"):
        return parts[0]
    if parts[0] == "layers":
        return parts[1] if len(parts) > 1 and parts[1] in ("compiler", "runtime", "serving") else "contract"
    return None


def imports_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""


def sources() -> list[Path]:
    folders = [*ROOT.glob("layers/**/*.py"), *ROOT.glob("functions/**/*.py"), *ROOT.glob("infra/**/*.py")]
    return [*folders, ROOT / "build_artifacts.py"]


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path: Path) -> None:
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    own = stratum_of(module)
    assert own is not None
    allowed = ALLOWED[own] | {own}
    if own == "compiler" and path.stem in GATE:
        allowed |= {"runtime"}
    for imported in imports_of(path):
        stratum = stratum_of(imported)
        assert stratum is None or stratum in allowed, f"{module} imports {imported}"


@pytest.mark.parametrize("folder", ["layers/runtime", "layers/serving", "functions"])
def test_nothing_served_needs_the_build_machine(folder: str) -> None:
    for path in ROOT.glob(f"{folder}/**/*.py"):
        needed = {name.split(".")[0] for name in imports_of(path)}
        assert not needed & BUILD_ONLY, f"{path} imports {needed & BUILD_ONLY}"


def test_the_walk_sees_the_house() -> None:
    seen = {stratum_of(".".join(path.relative_to(ROOT).with_suffix("").parts)) for path in sources()}
    assert {"contract", "runtime", "serving", "functions", "compiler", "build_artifacts"} <= seen
