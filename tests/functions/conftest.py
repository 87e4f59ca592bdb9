"""Lambda's side of things: recorded events, and the real handler module over a real artifact."""

from __future__ import annotations

import importlib
import json
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.toy_artifact import write_toy

EVENTS = Path(__file__).parents[1] / "events"
Handler = Callable[[Any, Any], dict[str, Any]]


def read_event(name: str) -> dict[str, Any]:
    """A recorded event, as Lambda hands it to the handler."""
    event: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text(encoding="utf-8"))
    return event


@pytest.fixture(scope="session")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of artifacts with one classifier in it, as the build leaves it."""
    folder = tmp_path_factory.mktemp("build")
    write_toy(folder / "toy")
    return folder


@pytest.fixture(scope="module")
def handler(output: Path) -> Iterator[Handler]:
    """The handler, imported anew as in a fresh environment."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("ARTIFACT_DIR", str(output / "toy"))
        environment.delitem(sys.modules, "functions.https.handler", raising=False)
        module = importlib.import_module("functions.https.handler")
        yield module.handler
        sys.modules.pop("functions.https.handler", None)
        # The handler keeps its records from the root logger, where other tests look for them.
        logging.getLogger("hundredfold").propagate = True
