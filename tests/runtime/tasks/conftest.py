"""Checkpoints, and their fp32 graphs opened by the runtime: each written once, whoever asks."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from layers.runtime.predictor import Predictor
from tests.runtime.tasks.compiled import compile_fp32
from tests.runtime.tasks.tokenized_checkpoints import write_tokenized

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tokenized(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Gives the directory of a checkpoint, written at its first use."""
    written: dict[str, Path] = {}

    def write(kind: str, head: str, **options: Any) -> Path:
        key = repr((kind, head, options))
        if key not in written:
            written[key] = write_tokenized(
                kind, head, tmp_path_factory.mktemp("tokenized") / f"{kind}-{head}", **options
            )
        return written[key]

    return write


@pytest.fixture(scope="session")
def cut_from_the_left(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """Copies a checkpoint whose tokenizer then says that texts are cut at their beginning."""

    def copy(checkpoint: Path) -> Path:
        copied = shutil.copytree(checkpoint, tmp_path_factory.mktemp("left") / checkpoint.name)
        settings = json.loads((copied / "tokenizer_config.json").read_text(encoding="utf-8"))
        (copied / "tokenizer_config.json").write_text(json.dumps({**settings, "truncation_side": "left"}), "utf-8")
        return copied

    return copy


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path, str], Predictor]:
    """Compiles a checkpoint for a task at its first use."""
    opened: dict[tuple[Path, str], Predictor] = {}

    def compile_once(checkpoint: Path, task: str) -> Predictor:
        if (checkpoint, task) not in opened:
            opened[checkpoint, task] = compile_fp32(checkpoint, task, tmp_path_factory.mktemp("compiled"))
        return opened[checkpoint, task]

    return compile_once
