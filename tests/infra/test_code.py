"""What zips hold: everything that their handlers import, for an interpreter with boto3 and nothing else installed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from infra.backend import EndpointBackend
from infra.code import zip_of
from layers.packaging.imports import files_needed
from tests.functions.zipped import install_boto3, invoke

# No engine, no model, no framework.
MOST_BYTES = 250_000
ENVIRONMENT = {
    "AWS_DEFAULT_REGION": "eu-west-1",
    "HUNDREDFOLD_RESULTS_BUCKET": "results",
    "HUNDREDFOLD_IDEMPOTENCY_TABLE": "claims",
    **{f"FORWARD_{name}": "x" for name in ("ENDPOINT", "MODEL", "TASK", "DIGEST", "VARIANT", "COLUMN")},
}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install_boto3(tmp_path_factory.mktemp("installed"))


@pytest.mark.parametrize("trigger", ["https", "queue", "bucket"])
def test_a_forwarding_handler_needs_its_zip_and_boto3_alone(trigger: Any, installed: Path) -> None:
    with zip_of("forward") as code:
        handler = EndpointBackend(cast(Any, SimpleNamespace()), code).code(trigger).handler
        assert invoke(code.folder, installed, handler, [], ENVIRONMENT) == []


def test_the_loop_that_streams_needs_its_zip_and_boto3_alone(installed: Path) -> None:
    with zip_of("forward") as code:
        assert invoke(code.folder, installed, "functions.forward.streaming.load", [], ENVIRONMENT) == []


def test_a_forwarding_zip_is_small_and_holds_no_model() -> None:
    with zip_of("forward") as code:
        files = {path.relative_to(code.folder).as_posix(): path for path in code.folder.rglob("*") if path.is_file()}
        assert sum(path.stat().st_size for path in files.values()) < MOST_BYTES
        assert {name.split("/")[1] for name in files if name.startswith("layers/")} == {
            "__init__.py", "errors.py", "whole_file.py", "wording.py", "runtime", "serving",
        }  # fmt: skip
        assert {name for name in files if name.startswith("layers/runtime/")} == {
            "layers/runtime/__init__.py", "layers/runtime/request.py",
        }  # fmt: skip


def test_a_zip_holds_what_is_imported_by_what_is_imported(tmp_path: Path) -> None:
    code = {
        "functions/__init__.py": "",
        "functions/a.py": "import json\nfrom layers.one import name\n",
        "layers/__init__.py": "",
        "layers/one.py": "def name():\n    from layers import two\n    return two\n",
        "layers/two.py": "import functions.a.b, numpy, functions.a\n",
        "layers/three.py": "",
    }
    for name, text in code.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    found = [path.as_posix() for path in files_needed(["functions.a"], tmp_path)]
    assert found == [
        "functions/__init__.py", "functions/a.py", "layers/__init__.py", "layers/one.py", "layers/two.py",
    ]  # fmt: skip
