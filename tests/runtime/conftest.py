"""Artifacts that the runtime's tests open; written once, opened by whoever asks."""

from __future__ import annotations

from pathlib import Path

import pytest

from layers.runtime.engine import Engine
from tests.runtime.toy_artifact import Toy, write_toy


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    """A classifier of 32 tokens at most."""
    return write_toy(tmp_path_factory.mktemp("runtime") / "toy")


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    """A bare encoder: no checkpoint said how to pool it."""
    return write_toy(tmp_path_factory.mktemp("runtime") / "encoder", name="encoder", task="feature-extraction")


@pytest.fixture(scope="session")
def sentences(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    """An encoder whose checkpoint states its pooling and has prompts."""
    pooling = {
        "mode": "mean", "normalize": False, "stated": True, "dimension": 8,
        "prompts": {"query": "search for "}, "default_prompt_name": None,
    }  # fmt: skip
    directory: Path = tmp_path_factory.mktemp("runtime") / "sentences"
    return write_toy(directory, name="sentences", task="feature-extraction", pooling=pooling)


@pytest.fixture
def engine(toy: Toy) -> Engine:
    """The classifier, opened anew."""
    return Engine.load(toy.directory, threads=1)
