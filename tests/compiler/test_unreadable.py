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


@pytest.mark.parametrize("name", ["config.json", "model.safetensors.index.json"])
def test_what_should_be_json_and_is_not(name: str, generator: Callable[[Writer], Path], tmp_path: Path) -> None:
    checkpoint = shutil.copytree(generator(Writer("gpt2")), tmp_path / "model")
    if "index" in name:
        (checkpoint / "model.safetensors").unlink()
    (checkpoint / name).write_text('{"cut": ', encoding="utf-8")
    with pytest.raises(CheckpointError, match=rf"/{name}: not JSON: .* Download it again\.$"):
        refuse(checkpoint, "text-generation", tmp_path / "built")


def test_modules_that_are_not_json(sections: Path, tmp_path: Path) -> None:
    (sections / "modules.json").write_bytes(b"\xff")
    with pytest.raises(CheckpointError, match=r"modules\.json: not JSON"):
        refuse(sections, "feature-extraction", tmp_path / "built")


def test_a_header_of_weights_that_is_not_json(sections: Path, tmp_path: Path) -> None:
    weights = sections / "model.safetensors"
    weights.unlink()
    weights.write_bytes((4).to_bytes(8, "little") + b"{no}")
    with pytest.raises(CheckpointError, match=r"^model\.safetensors: its header is not JSON: .* Download it again\.$"):
        refuse(sections, "text-classification", tmp_path / "built")
