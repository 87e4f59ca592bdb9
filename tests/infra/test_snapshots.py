"""One template a kind of stack, as it was last agreed to: a change that nobody meant shows here.

`UPDATE_SNAPSHOTS=1` writes them anew; read the difference before it is committed.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from aws_cdk.assertions import Template

from tests.infra.conftest import Templates

SNAPSHOTS = Path(__file__).with_name("snapshots")
# HTTPS on functions, queue and bucket, a group, and an endpoint of each mode.
KINDS = ("plain-v1.5", "everything", "small-models", "gpu-now", "gpu-later")
# Of assets, and of versions, which are named by what is in them.
HASHES = re.compile(r"\b[0-9a-f]{64}\b|(?<=[0-9A-F]{8})[0-9a-f]{32}\b")


def plain(template: Template) -> str:
    """The template without hashes of code, which every edit of a function changes."""
    return HASHES.sub("HASH", json.dumps(template.to_json(), indent=1, sort_keys=True)) + "\n"


@pytest.mark.parametrize("name", KINDS)
def test_a_template_is_the_one_agreed_to(dev: Templates, name: str) -> None:
    file = SNAPSHOTS / f"{name}.json"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        file.write_text(plain(dev[name]), encoding="utf-8")
    assert plain(dev[name]) == file.read_text(encoding="utf-8")
