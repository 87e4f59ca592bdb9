"""The documentation's curl commands, run as they stand, but for the port."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMANDS = [
    line
    for page in PAGES
    for block in re.findall(r"^```sh\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    for line in block.replace("\\\n", " ").splitlines()
    if line.startswith("curl ") and "http://127.0.0.1:8080" in line
]


def test_there_are_commands_to_run() -> None:
    assert len(COMMANDS) >= 2


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_answered(command: str, classifier_url: str, writer_url: str) -> None:
    writes = any(word in command for word in ("max_new_tokens", "max_tokens", "prompt", "messages"))
    words = shlex.split(
        command.replace("http://127.0.0.1:8080", writer_url if writes else classifier_url), comments=True
    )
    answer = subprocess.run([*words, "--fail-with-body"], capture_output=True, check=False)
    assert answer.returncode == 0, answer.stdout
    if '"stream": true' in command:
        assert answer.stdout.startswith(b"data: ")
    else:
        assert json.loads(answer.stdout)
