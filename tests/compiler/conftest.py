"""Checkpoints are written once per session, however many tests build them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.compiler.checkpoints import Case, write_checkpoint
from tests.compiler.generators import Writer, write_generator

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Case], Path]:
    """Gives the directory of a case's checkpoint, written at its first use."""
    written: dict[str, Path] = {}

    def write(case: Case) -> Path:
        if str(case) not in written:
            written[str(case)] = write_checkpoint(case, tmp_path_factory.mktemp("checkpoint") / str(case))
        return written[str(case)]

    return write


@pytest.fixture(scope="session")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Writer], Path]:
    """The same for models that write text."""
    written: dict[str, Path] = {}

    def write(case: Writer) -> Path:
        if str(case) not in written:
            written[str(case)] = write_generator(case, tmp_path_factory.mktemp("generator") / str(case))
        return written[str(case)]

    return write
