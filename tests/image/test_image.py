"""What the image holds, what it must not hold, and that it is the same when it is built again."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from layers.packaging.context import write_build_context
from layers.packaging.engine import build_image, find_engine
from layers.packaging.limits import BUDGET_BYTES
from layers.packaging.requirements import client_requirements, runtime_requirements
from layers.packaging.wheels import fetch_wheels
from tests.image.containers import BASE_IMAGE, LIMITS, podman

ROOT = Path(__file__).parents[2]
PROBE = """
import importlib.util, json, os, pathlib, shutil, sys
def there(name):
    try: return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError: return False
names = ["pip", "setuptools", "torch", "transformers", "onnx", "sentencepiece", "layers.compiler", "tests", "pytest"]
programs = ["gcc", "cc", "pip", "pip3", "git"]
writable = []
for folder in ("/", "/var/task", "/opt/python", "/home", "/var"):
    try: pathlib.Path(folder, "probe").write_text("x"); writable.append(folder)
    except OSError: pass
files = [p for root in ("/opt/python", "/var/task") for p in pathlib.Path(root).rglob("*") if p.is_file()]
print(json.dumps({
    "modules": [n for n in names if there(n)], "programs": [p for p in programs if shutil.which(p)],
    "writable": writable, "shm": os.path.exists("/dev/shm"), "tests": [str(p) for p in files if "/tests/" in str(p)],
    "uncompiled": [
        str(p) for p in files if p.suffix == ".py" and not list((p.parent / "__pycache__").glob(p.stem + ".*"))
    ],
    "times": sorted({int(p.stat().st_mtime) for p in files}),
    "artifact": sorted(p.name for p in pathlib.Path("/var/task/artifact").rglob("*") if p.is_file()),
    "bytes": sum(p.stat().st_size for p in files if "/artifact/" not in str(p)),
}))
"""


@pytest.fixture(scope="module")
def found(image: str) -> dict[str, Any]:
    """What a process sees in a container with Lambda's limits."""
    done = podman("run", "--rm", *LIMITS, image, "python3", "-c", PROBE, check=True)
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


def inspect(image: str) -> dict[str, Any]:
    [document] = json.loads(podman("image", "inspect", image, check=True).stdout)
    description: dict[str, Any] = document
    return description


def test_nothing_of_the_build_is_in_it(found: dict[str, Any]) -> None:
    assert (found["modules"], found["programs"], found["tests"]) == ([], [], [])


def test_nothing_is_left_to_compile_or_to_write(found: dict[str, Any]) -> None:
    # Python leaves out what it cannot compile: templates that are no modules.
    assert [name for name in found["uncompiled"] if "/var/task/" in name] == []
    assert found["writable"] == []
    assert found["shm"] is False
    assert found["times"] == [0]


def test_the_artifact_of_this_architecture_is_in_it(found: dict[str, Any], artifact: Path) -> None:
    manifest = json.loads((artifact / "manifest.json").read_text())
    graphs = {variant["file"] for variant in manifest["variants"] if variant["name"] in manifest["chosen"].values()}
    assert graphs <= set(found["artifact"])
    assert {"manifest.json", "tokenizer.json"} <= set(found["artifact"])


def test_the_budget_is_kept(found: dict[str, Any]) -> None:
    print(f"dependencies and code: {found['bytes']:,} bytes")
    assert 50_000_000 < found["bytes"] <= BUDGET_BYTES


def test_the_manifest_is_one_lambda_takes(image: str) -> None:
    description = inspect(image)
    assert description["Architecture"] == "amd64"
    assert description["ManifestType"] == "application/vnd.docker.distribution.manifest.v2+json"
    assert description["Config"]["Labels"]["com.amazonaws.lambda.feature.snapstart"] == "Allow"
    environment = dict(line.split("=", 1) for line in description["Config"]["Env"])
    assert environment["TOKENIZERS_PARALLELISM"] == "false"
    assert environment["HF_HUB_OFFLINE"] == "1"


def test_built_again_from_nothing_it_has_the_same_layers(image: str, artifact: Path, tmp_path: Path) -> None:
    """Another context in another place, every step run again: the layers are those of the first build."""

    def without_cache(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        fresh = [*command[:2], "--no-cache", *command[2:]]
        return subprocess.run(fresh, capture_output=True, text=True, check=False, env=os.environ)

    requirements = [*runtime_requirements(), *client_requirements()]
    wheels = fetch_wheels(requirements, ROOT / "build" / ".wheels", architecture="x86_64", python="3.11")
    context = write_build_context([artifact], tmp_path / "other", architecture="x86_64", wheels=wheels)
    again = build_image(
        find_engine("podman"),
        context,
        "localhost/hundredfold-test:2",
        architecture="x86_64",
        base_image=BASE_IMAGE,
        run=without_cache,
    )
    assert inspect(again)["RootFS"]["Layers"] == inspect(image)["RootFS"]["Layers"]
