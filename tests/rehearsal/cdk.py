"""CDK's command line over a catalogue, stages and artifacts; where its calls go is in the environment it is given."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# What keeps a run to itself.
QUIET = {"CDK_DISABLE_CLI_TELEMETRY": "true", "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "20"}


def run_cdk(variables: Mapping[str, str], assembly: Path, context: Mapping[str, str], *words: str) -> str:
    """What the command printed. Raises AssertionError with it when the command fails."""
    options = [word for key, value in context.items() for word in ("-c", f"{key}={value}")]
    application = ["--app", f"{sys.executable} -m infra.app", "--output", str(assembly), "--no-notices"]
    command = ["npx", "cdk", *words, *application, *options]
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def of_project(project: Path) -> dict[str, str]:
    """The context of a folder that holds all three."""
    places = {"catalog": "models.toml", "stages": "stages.toml", "output": "build"}
    return {key: str(project / name) for key, name in places.items()}
