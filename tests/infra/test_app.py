"""The application as CDK's command line runs it: offline, without credentials or an engine; and how it ends."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from infra.app import main
from tests.infra.projects import app_of, write_project

ROOT = Path(__file__).resolve().parents[2]
ONE = '[only]\nsource = "checkpoint"\ntask = "text-classification"\n'


def synthesize(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run it with Node.js and nothing else to find: no engine, no credentials, no way to a network."""
    node = shutil.which("node")
    assert node
    (folder / "bin").mkdir()
    (folder / "bin" / "node").symlink_to(node)
    places = {"catalog": "models.toml", "stages": "stages.toml", "output": "build"}
    context = {key: str(folder / name) for key, name in places.items()}
    environment = {
        "PATH": str(folder / "bin"),
        # jsii keeps its unpacked packages there.
        "HOME": os.environ.get("HOME", str(folder)),
        "AWS_CONFIG_FILE": str(folder / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(folder / "none"),
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "AWS_EC2_METADATA_DISABLED": "true",
        "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "20",
        "CDK_OUTDIR": str(folder / "cdk.out"),
        "CDK_CONTEXT_JSON": json.dumps(context),
    }
    command = [sys.executable, "-m", "infra.app"]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_synthesis_needs_no_engine_no_credentials_and_no_network(tmp_path: Path) -> None:
    done = synthesize(write_project(tmp_path, ONE))
    assert done.returncode == 0, done.stderr
    template = json.loads((tmp_path / "cdk.out" / "only.template.json").read_text(encoding="utf-8"))
    assert "AWS::Lambda::Url" in {each["Type"] for each in template["Resources"].values()}


def test_cdks_command_line_reports_nothing_to_its_makers() -> None:
    """What a page says was sent nowhere was not: CDK's own default is to count its users' commands."""
    command = [str(ROOT / "node_modules/.bin/cdk"), "cli-telemetry", "--status"]
    environment = {name: value for name, value in os.environ.items() if name != "CDK_DISABLE_CLI_TELEMETRY"}
    told = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert "CLI Telemetry is disabled" in told.stdout + told.stderr


def test_a_mistake_in_a_file_ends_with_2_and_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "models.toml").write_text(ONE.replace("task", "tsak"), encoding="utf-8")
    (tmp_path / "stages.toml").write_text("[dev]\n", encoding="utf-8")
    assert main(app_of(tmp_path, "dev")) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert "[only] unknown key 'tsak': did you mean 'task'?" in line
