"""One real server with a small model for every task, for clients that are not changed for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from layers.runtime.predictor import Predictor
from layers.runtime.settings import Settings
from layers.serving.application import create_app
from tests.runtime.generation.toy_decoder import write_toy_decoder
from tests.runtime.tasks.compiled import compile_fp32
from tests.runtime.tasks.tokenized_checkpoints import write_tokenized
from tests.runtime.toy_artifact import write_toy
from tests.serving.conftest import CHAT_TEMPLATE
from tests.serving.live_server import live

POOLED = {"mode": "mean", "normalize": True, "stated": True, "dimension": 8, "prompts": {"query": "search for "}}
ENTAILMENT = {0: "contradiction", 1: "neutral", 2: "entailment"}
ENTITIES = {0: "O", 1: "B-PER", 2: "I-PER", 3: "B-LOC"}


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Predictor]:
    """By the name that they are served under."""
    folder = tmp_path_factory.mktemp("clients")

    def compiled(name: str, head: str, task: str, **options: Any) -> Predictor:
        (folder / name).mkdir()
        checkpoint = write_tokenized("wordpiece", head, folder / f"{name}-checkpoint", **options)
        return compile_fp32(checkpoint, task, folder / name)

    def loaded(directory: Path) -> Predictor:
        return Predictor.load(directory, threads=1)

    rewriter: dict[str, Any] = {"tokenizer": "debian-summarizer", "eos_token_ids": (1,)}
    return {
        "classifier": loaded(write_toy(folder / "classifier").directory),
        "encoder": loaded(write_toy(folder / "encoder", name="encoder", task="feature-extraction").directory),
        "sentences": loaded(
            write_toy(folder / "sentences", name="sentences", task="feature-extraction", pooling=POOLED).directory
        ),
        "entities": compiled("entities", "token-classification", "token-classification", id2label=ENTITIES),
        "answers": compiled("answers", "question-answering", "question-answering"),
        "masks": compiled("masks", "masked-lm", "fill-mask"),
        "labels": compiled("labels", "sequence-classification", "zero-shot-classification", id2label=ENTAILMENT),
        "ranks": compiled("ranks", "sequence-classification", "rerank", id2label={0: "LABEL_0"}),
        "writer": loaded(write_toy_decoder(folder / "writer", name="writer", chat_template=CHAT_TEMPLATE).directory),
        "summarizer": loaded(
            write_toy_decoder(folder / "summarizer", name="summarizer", task="summarization", **rewriter).directory
        ),
        "translator": loaded(
            write_toy_decoder(folder / "translator", name="translator", task="translation", **rewriter).directory
        ),
    }


@pytest.fixture(scope="session")
def url(models: dict[str, Predictor]) -> Iterator[str]:
    """All of them behind one server."""
    with live(create_app(models, Settings(artifact_dir=Path("unused"), workers=2))) as address:
        yield address


@pytest.fixture(scope="session")
def writer_url(models: dict[str, Predictor]) -> Iterator[str]:
    """The model that writes, alone: clients that know a URL and no name."""
    with live(create_app({"writer": models["writer"]}, Settings(artifact_dir=Path("unused")))) as address:
        yield address


@pytest.fixture(scope="session")
def classifier_url(models: dict[str, Predictor]) -> Iterator[str]:
    """The classifier, alone."""
    with live(create_app({"classifier": models["classifier"]}, Settings(artifact_dir=Path("unused")))) as address:
        yield address
