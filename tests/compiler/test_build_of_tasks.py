"""Every task of encoders builds, and its artifact answers what it was built for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from layers.artifact import Manifest
from layers.catalogue import ModelSpec
from layers.compiler.build import build
from layers.errors import CheckpointError, UnsupportedError
from layers.runtime.predictor import Predictor
from tests.runtime.tasks.tokenized_checkpoints import write_tokenized

CLASSIFIER = "sequence-classification"
INFERENCE = {0: "contradiction", 1: "neutral", 2: "entailment"}
TAGS = {0: "O", 1: "B-PER", 2: "I-PER"}
CASES = [
    ("rerank", CLASSIFIER, {"id2label": {0: "LABEL_0"}}, "logit_error"),
    ("zero-shot-classification", CLASSIFIER, {"id2label": INFERENCE}, "agreement"),
    ("token-classification", "token-classification", {"id2label": TAGS}, "agreement"),
    ("question-answering", "question-answering", {}, "f1"),
    ("fill-mask", "masked-lm", {}, "agreement"),
]


def built(checkpoint: Path, task: str, output: Path) -> Manifest:
    spec = ModelSpec.model_validate({"name": "tiny", "source": str(checkpoint), "task": task, "precision": "fp32"})
    return build(spec, checkpoint, output, "x86_64", lambda _line: None).manifest


@pytest.mark.parametrize(("task", "head", "options", "metric"), CASES, ids=[case[0] for case in CASES])
def test_a_task_builds_and_its_goldens_are_what_is_served(
    tmp_path: Path, task: str, head: str, options: dict[str, Any], metric: str
) -> None:
    manifest = built(write_tokenized("wordpiece", head, tmp_path / "checkpoint", **options), task, tmp_path / "build")
    assert manifest.parity.startswith("transformers 5.")
    assert manifest.variant("fp32").verdict.metric == metric
    assert manifest.tokenizer.mask_token_id is not None
    predictor = Predictor.load(tmp_path / "build" / "tiny")
    assert task in predictor.tasks
    assert manifest.goldens
    for golden in manifest.goldens:
        assert predictor.predict(golden.inputs, golden.parameters).value == golden.outputs


@pytest.mark.parametrize(
    ("task", "labels", "message"),
    [
        ("rerank", INFERENCE, "labels, for checkpoint: got 3, expected 1 for rerank"),
        (
            "zero-shot-classification",
            TAGS,
            "labels, for checkpoint: got O, B-PER, I-PER, expected one that",
        ),
        ("zero-shot-classification", {0: "entailment"}, "labels, for checkpoint: got entailment, expected one"),
    ],
)
def test_labels_that_cannot_answer_are_refused(tmp_path: Path, task: str, labels: dict[int, str], message: str) -> None:
    checkpoint = write_tokenized("wordpiece", CLASSIFIER, tmp_path / "checkpoint", id2label=labels)
    with pytest.raises(UnsupportedError, match=message):
        built(checkpoint, task, tmp_path / "build")
    assert not (tmp_path / "build").exists()


def test_no_mask_token_is_refused(tmp_path: Path) -> None:
    checkpoint = write_tokenized("wordpiece", "masked-lm", tmp_path / "checkpoint")
    path = checkpoint / "tokenizer_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({key: value for key, value in settings.items() if key != "mask_token"}))
    with pytest.raises(CheckpointError, match="the tokenizer has no mask token"):
        built(checkpoint, "fill-mask", tmp_path / "build")
