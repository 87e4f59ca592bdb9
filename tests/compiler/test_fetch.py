"""Checkpoints of the Hub, through the real client against a stand-in: the pinned commit, and only the files needed."""

from __future__ import annotations

import json
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
DECOYS = (
    "pytorch_model.bin",
    "tf_model.h5",
    "flax_model.msgpack",
    "consolidated.safetensors",
    "onnx/model.onnx",
    "onnx/config.json",
    "checkpoint-500/config.json",
    "checkpoint-500/model.safetensors",
    "runs/long/results.txt",
)
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
    for decoy in DECOYS:
        (folder / decoy).parent.mkdir(exist_ok=True, parents=True)
        (folder / decoy).write_bytes(b"not to be downloaded")
    module = {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}
    (folder / "modules.json").write_text(json.dumps([{**module, "path": ""}, module]), encoding="utf-8")
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling/config.json").write_text("{}", encoding="utf-8")
    # Marian's tokenizer has no other name.
    (folder / "source.spm").write_bytes(b"")
    return folder


def test_a_pinned_commit_is_built_from_the_files_needed(repository: Path, tmp_path: Path) -> None:
    with hub(repository, REPOSITORY, REVISION) as (endpoint, asked):
        done = build(tmp_path, endpoint, REVISION)
        assert done.returncode == 0, done.stderr
    manifest = Manifest.read(tmp_path / "built/sections")
    assert (manifest.source.location, manifest.source.revision) == (f"hf://{REPOSITORY}", REVISION)
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(asked)
    assert {"modules.json", "1_Pooling/config.json", "source.spm"} <= set(asked)
    assert not set(DECOYS) & set(asked)


def test_a_list_of_modules_that_is_broken_is_named_and_not_the_network(repository: Path, tmp_path: Path) -> None:
    (repository / "modules.json").write_text('[{"path": ', encoding="utf-8")
    with hub(repository, REPOSITORY, REVISION) as (endpoint, _):
        done = build(tmp_path, endpoint, REVISION)
    assert done.returncode == 1
    assert f"[sections] hf://{REPOSITORY}@{REVISION}" in done.stderr
    assert "modules.json: not JSON" in done.stderr
    assert "HF_TOKEN" not in done.stderr


def test_a_commit_that_is_not_there_is_named(repository: Path, tmp_path: Path) -> None:
    missing = "f" * 40
    with hub(repository, REPOSITORY, REVISION) as (endpoint, asked):
        done = build(tmp_path, endpoint, missing)
    assert done.returncode == 1
    assert f"[sections] hf://{REPOSITORY}@{missing}" in done.stderr
    assert "Check the name, the commit" in done.stderr
    assert asked == []
    assert not (tmp_path / "built/sections").exists()
