"""A forwarding function as Lambda runs it: from its zip, by an interpreter that has boto3 and nothing else."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# boto3 and what it needs, as Lambda's runtime has them.
IN_LAMBDA = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "six", "urllib3")
PROGRAM = """
import importlib, json, sys
sys.path[:0] = sys.argv[1:3]
module = importlib.import_module(sys.argv[3])
print(json.dumps([module.handler(event, None) for event in json.load(sys.stdin)]))
"""


def install_boto3(folder: Path) -> Path:
    """A folder of packages that holds boto3 alone."""
    for name in IN_LAMBDA:
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        source = Path(spec.origin)
        source = source.parent if source.name == "__init__.py" else source
        (folder / source.name).symlink_to(source)
    return folder


def invoke(
    code: Path, installed: Path, handler: str, events: list[dict[str, Any]], environment: Mapping[str, str]
) -> list[Any]:
    """What the handler answers to each event, in one environment."""
    command = [sys.executable, "-I", "-S", "-c", PROGRAM, str(code), str(installed), handler.rpartition(".")[0]]
    done = subprocess.run(
        command,
        input=json.dumps(events),
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers: list[Any] = json.loads(done.stdout.splitlines()[-1])
    return answers
