"""Checkpoints of the Hub, through the real client against a stand-in: the pinned commit, and only the files needed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from layers.artifact import Manifest
from tests.compiler.hub import hub

ROOT = Path(__file__).resolve().parents[2]
REPOSITORY = "debian/sections"
REVISION = "0123456789abcdef0123456789abcdef01234567"


def build(tmp_path: Path, endpoint: str, revision: str) -> subprocess.CompletedProcess[str]:
    """The build's command line; the client reads its endpoint from the environment once, when it is imported."""
    catalogue = tmp_path / "models.toml"
    catalogue.write_text(
        f'[sections]\nsource = "hf://{REPOSITORY}"\nrevision = "{revision}"\n'
        'task = "text-classification"\nprecision = "fp32"\n',
        encoding="utf-8",
    )
    environment = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "0"}
    command = [sys.executable, "build_artifacts.py", "--catalog", str(catalogue), "--output", str(tmp_path / "built")]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    shutil.copytree(ROOT / "examples/models/debian-sections", folder)
    for decoy in ("pytorch_model.bin", "tf_model.h5", "flax_model.msgpack", "onnx/model.onnx", "onnx/config.json"):
        (folder / decoy).parent.mkdir(exist_ok=True)
        (folder / decoy).write_bytes(b"not to be downloaded")
    return folder


def test_a_pinned_commit_is_built_from_the_files_needed(repository: Path, tmp_path: Path) -> None:
    with hub(repository, REPOSITORY, REVISION) as (endpoint, asked):
        done = build(tmp_path, endpoint, REVISION)
        assert done.returncode == 0, done.stderr
    manifest = Manifest.read(tmp_path / "built/sections")
    assert (manifest.source.location, manifest.source.revision) == (f"hf://{REPOSITORY}", REVISION)
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(asked)
    assert not {name for name in asked if name.startswith(("pytorch", "tf_", "flax", "onnx/"))}


def test_a_commit_that_is_not_there_is_named(repository: Path, tmp_path: Path) -> None:
    missing = "f" * 40
    with hub(repository, REPOSITORY, REVISION) as (endpoint, asked):
        done = build(tmp_path, endpoint, missing)
    assert done.returncode == 1
    assert f"[sections] hf://{REPOSITORY}@{missing}" in done.stderr
    assert "Check the name, the commit" in done.stderr
    assert asked == []
    assert not (tmp_path / "built/sections").exists()
