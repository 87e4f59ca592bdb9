"""The command from end to end: a tiny model, one family, the releases that are installed already; no network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.runtime.tasks.tokenized_checkpoints import write_tokenized
from upgrade.environment import LIBRARIES

ROOT = Path(__file__).resolve().parents[2]
NO_INDEX = {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull, "HF_HUB_OFFLINE": "1"}


def upgrade_check(output: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "upgrade", *arguments, "--output", str(output)]
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **NO_INDEX}, capture_output=True, text=True, check=False
    )


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    write_tokenized("wordpiece", "sequence-classification", tmp_path / "checkpoint")
    path = tmp_path / "models.toml"
    path.write_text(
        '[tiny]\nsource = "checkpoint"\ntask = "text-classification"\nprecision = "fp32"\n', encoding="utf-8"
    )
    return path


def test_the_releases_that_are_pinned_are_the_same_as_themselves(catalogue: Path, tmp_path: Path) -> None:
    output = tmp_path / "upgrade"
    pins = [f"{name}=={version(name)}" for name in LIBRARIES]
    done = upgrade_check(output, *pins, "--catalog", str(catalogue), "--family", "mpnet", "--rounds", "1")
    report = json.loads((output / "report.json").read_text(encoding="utf-8"))
    assert report["before"] == report["after"]
    found = {(finding["area"], finding["subject"]): finding for finding in report["findings"]}
    # One turn of a tiny model says nothing of its speed.
    others = {key: finding["judgement"] for key, finding in found.items() if key[0] != "latency"}
    assert set(others.values()) == {"same"}, done.stderr
    assert {area for area, _ in found} == {
        *("accuracy", "choice", "parity", "goldens", "latency", "fused nodes", "API", "tensors")
    }
    assert ("latency", "tiny, candidate, pinned artifact, fp32") in found
    assert found["tensors", "families"]["before"] == "1"
    assert done.returncode == (0 if report["green"] else 1)


def test_releases_that_cannot_be_installed_are_said_so(tmp_path: Path) -> None:
    done = upgrade_check(tmp_path / "upgrade", "tokenizers==0.0.1")
    assert done.returncode == 2
    assert "the releases could not be installed" in done.stderr
