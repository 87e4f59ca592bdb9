"""Lambda's side of things: recorded events, and the real handler module over a real artifact."""

from __future__ import annotations

import importlib
import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.functions.stand_in import StandIn, stand_in
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


@pytest.fixture(scope="session")
def aws() -> Iterator[StandIn]:
    """A stand-in for AWS."""
    with stand_in() as started:
        yield started


@contextmanager
def imported(name: str, **environment: str) -> Iterator[Any]:
    """A handler's module, imported anew as in a fresh environment."""
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in environment.items():
            patch.setenv(variable, value)
        patch.delitem(sys.modules, name, raising=False)
        try:
            yield importlib.import_module(name)
        finally:
            sys.modules.pop(name, None)
            # The handler keeps its records from the root logger, where other tests look for them.
            logging.getLogger("hundredfold").propagate = True


@pytest.fixture(scope="module")
def handler(output: Path) -> Iterator[Handler]:
    """The HTTPS handler."""
    with imported("functions.https.handler", ARTIFACT_DIR=str(output / "toy")) as module:
        yield module.handler
