"""Checkpoints whose configuration or tokenizer cannot be read are refused like any other, and nothing is written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import ByT5Tokenizer

from layers.catalogue import ModelSpec
from layers.compiler.build import build
from layers.errors import CheckpointError, UnsupportedError
from tests.compiler.generators import Writer

SECTIONS = Path(__file__).resolve().parents[2] / "examples/models/debian-sections"


def refuse(checkpoint: Path, task: str, output: Path) -> None:
    table = {"name": "broken", "source": str(checkpoint), "task": task, "precision": "fp32"}
    build(ModelSpec.model_validate(table), checkpoint, output, "x86_64", lambda _line: None)


@pytest.fixture
def sections(tmp_path: Path) -> Path:
    """A copy of the example to spoil."""
    folder = tmp_path / "sections"
    folder.mkdir()
    for path in SECTIONS.iterdir():
        (folder / path.name).symlink_to(path)
    return folder


def rewritten(path: Path, change: Callable[[Any], Any]) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    path.unlink()
    path.write_text(json.dumps(change(content)), encoding="utf-8")


def test_a_tokenizer_that_is_python_alone(generator: Callable[[Writer], Path], tmp_path: Path) -> None:
    """ByT5's, BERTweet's, PhoBERT's and the Japanese BERTs' cut text by code that no image has."""
    checkpoint = tmp_path / "bytes"
    shutil.copytree(generator(Writer("t5")), checkpoint)
    ByT5Tokenizer().save_pretrained(checkpoint)
    with pytest.raises(UnsupportedError, match=r"^tokenizer, for bytes: got ByT5Tokenizer, .* Python alone"):
        refuse(checkpoint, "text2text-generation", tmp_path / "built")
    assert not list((tmp_path / "built").iterdir())


def test_a_tokenizer_file_that_is_none(sections: Path, tmp_path: Path) -> None:
    rewritten(sections / "tokenizer.json", lambda content: {**content, "model": {"type": "Unheard"}})
    with pytest.raises(CheckpointError, match=r"^tokenizer, for sections: transformers cannot read it: "):
        refuse(sections, "text-classification", tmp_path / "built")
    assert not list((tmp_path / "built").iterdir())


def test_a_configuration_that_is_not_valid(sections: Path, tmp_path: Path) -> None:
    rewritten(sections / "config.json", lambda content: {**content, "n_heads": "many"})
    with pytest.raises(CheckpointError, match=r"^config\.json, for sections: transformers cannot read it: .*n_heads"):
        refuse(sections, "text-classification", tmp_path / "built")
    assert not (tmp_path / "built").exists()
