"""Starting an environment: what it imports, how often it loads, and how it says that it cannot."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.functions.conftest import EVENTS

ROOT = Path(__file__).parents[2]
HEAVY = (
    "transformers",
    "torch",
    "onnx",
    "onnxscript",
    "boto3",
    "botocore",
    "pandas",
    "scipy",
    "uvicorn",
    "httpx",
    "rich",
)

START = """
import json, sys
import functions.https.handler as handler
event = json.load(open(sys.argv[1], encoding="utf-8"))
answers = [handler.handler(event, None)["statusCode"] for _ in range(3)]
modules = sorted({name.partition(".")[0] for name in sys.modules})
pages = [name for name in sys.modules if name.startswith("layers.serving.playground")]
print(json.dumps({"answers": answers, "modules": modules, "pages": pages}))
"""


def start(artifact_dir: str | None) -> subprocess.CompletedProcess[str]:
    """A fresh process with nothing of AWS in its environment."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "LANG": "C"}
    if artifact_dir is not None:
        environment["ARTIFACT_DIR"] = artifact_dir
    command = [sys.executable, "-c", START, str(EVENTS / "function_url.json")]
    return subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, check=False)


def test_a_start_imports_nothing_heavy_and_loads_once(output: Path) -> None:
    process = start(str(output / "toy"))
    assert process.returncode == 0, process.stderr
    found = json.loads(process.stdout)
    assert found["answers"] == [200, 200, 200]
    assert [name for name in HEAVY if name in found["modules"]] == []
    assert found["pages"] == [], "the page is read when a browser asks for it"
    ready = [json.loads(line) for line in process.stderr.splitlines() if '"ready"' in line]
    assert [entry["models"] for entry in ready] == [{"toy": "fp32"}]


def test_a_folder_of_artifacts_is_served_by_name(output: Path) -> None:
    process = start(str(output))
    assert json.loads(process.stdout)["answers"] == [200, 200, 200]


def test_a_start_without_an_artifact_names_the_variable() -> None:
    process = start(None)
    assert process.returncode != 0
    assert "ARTIFACT_DIR is not set" in process.stderr


def test_a_start_on_an_empty_folder_says_what_to_do(tmp_path: Path) -> None:
    process = start(str(tmp_path))
    assert process.returncode != 0
    assert "Build a model first" in process.stderr
