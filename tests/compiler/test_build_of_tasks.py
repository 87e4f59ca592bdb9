"""Every task of encoders builds, and its artifact answers what it was built for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from layers.artifact import Manifest
from layers.catalogue import ModelSpec
from layers.compiler.build import build
from layers.compiler.metrics import spans
from layers.errors import CatalogueError, CheckpointError, UnsupportedError
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


def labelled(checkpoint: Path, task: str, rows: list[dict[str, Any]], gate: dict[str, Any] | None = None) -> Manifest:
    """Built with data of its own, which stands beside the checkpoint."""
    data = checkpoint.parent / "data.jsonl"
    data.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    table = {"name": "tiny", "source": str(checkpoint), "task": task, "precision": "fp32"}
    spec = ModelSpec.model_validate({**table, "gate": {"data": str(data), **(gate or {})}})
    return build(spec, checkpoint, checkpoint.parent / "build", "x86_64", lambda _line: None).manifest


@pytest.mark.parametrize("metric", ["agreement", "top1", "logit_error"])
def test_short_texts_are_judged_too(tmp_path: Path, metric: str) -> None:
    """A token is hidden wherever there is one; a text of none at all says nothing."""
    checkpoint = write_tokenized("wordpiece", "masked-lm", tmp_path / "checkpoint")
    rows = [{"text": text} for text in ("a", "", "[MASK]", "an", "a library", "the library", "of", "tools", "to")]
    verdict = labelled(checkpoint, "fill-mask", rows, {"metric": metric}).variant("fp32").verdict
    # Of the nine, the first, fourth and seventh calibrate.
    assert (verdict.n, verdict.drop, verdict.passed) == (4, 0, True)
    assert np.isfinite([verdict.value, *verdict.interval]).all()


def test_texts_without_a_token_to_hide_are_refused(tmp_path: Path) -> None:
    checkpoint = write_tokenized("wordpiece", "masked-lm", tmp_path / "checkpoint")
    with pytest.raises(CatalogueError, match=r"\[tiny.gate\] data: no text .* has a token to hide"):
        labelled(checkpoint, "fill-mask", [{"text": ""}] * 9)


TAGGED = {
    "tokens": ["Ian", "Müller-Lüdenscheidt", "wrote", "libstdc++", "שלום"],
    "tags": ["B-PER", "I-PER", "O", "O", "O"],
}


@pytest.mark.parametrize("metric", ["f1", "accuracy"])
def test_tags_of_the_data_count(tmp_path: Path, metric: str) -> None:
    """fp32 is measured against the data: as far as an independent reading of the model's answers says."""
    checkpoint = write_tokenized("wordpiece", "token-classification", tmp_path / "checkpoint", id2label=TAGS)
    rows = [{"tokens": TAGGED["tokens"][k % 3 :], "tags": TAGGED["tags"][k % 3 :]} for k in range(12)]
    manifest = labelled(checkpoint, "token-classification", rows, {"metric": metric} if metric == "accuracy" else {})
    verdict = manifest.variant("fp32").verdict
    predictor = Predictor.load(tmp_path / "build" / "tiny")
    judged = [row for index, row in enumerate(rows) if index % 3]
    found = [first_labels(predictor, row["tokens"]) for row in judged]
    wanted = [row["tags"] for row in judged]
    if metric == "accuracy":
        hits = [a == b for own, other in zip(found, wanted, strict=True) for a, b in zip(own, other, strict=True)]
        assert verdict.value == pytest.approx(sum(hits) / len(hits))
    else:
        pairs = [(spans(own), spans(other)) for own, other in zip(found, wanted, strict=True)]
        common = sum(len(own & other) for own, other in pairs)
        assert verdict.value == pytest.approx(2 * common / sum(len(own) + len(other) for own, other in pairs))
    assert (verdict.metric, verdict.value, verdict.drop) == (metric, verdict.reference, 0)
    assert 0 <= verdict.value < 1


def first_labels(predictor: Predictor, words: list[str]) -> list[str]:
    """The label of each word's first token, as the served task gives it."""
    parameters = {"aggregation_strategy": "none", "ignore_labels": []}
    tokens = predictor.predict(" ".join(words), parameters).value
    starts = [sum(len(word) + 1 for word in words[:index]) for index in range(len(words))]
    return [next(token["entity"] for token in tokens if token["start"] == start) for start in starts]


def test_answers_of_the_data_count(tmp_path: Path) -> None:
    checkpoint = write_tokenized("byte-level", "question-answering", tmp_path / "checkpoint")
    context = "Debian was founded by Ian Murdock in 1993."
    answer = (
        Predictor.load(built_directory(checkpoint, "question-answering", tmp_path / "plain"))
        .predict({"question": "who?", "context": context}, {"max_answer_len": 60, "align_to_words": False})
        .value
    )
    right, wrong = {"text": [answer["answer"]], "answer_start": [answer["start"]]}, ["nothing of the kind"]
    rows = [{"question": "who?", "context": context, "answers": wrong if k % 3 == 1 else right} for k in range(12)]
    verdict = labelled(checkpoint, "question-answering", rows).variant("fp32").verdict
    assert (verdict.metric, verdict.value, verdict.n) == ("f1", pytest.approx(0.5), 8)


def built_directory(checkpoint: Path, task: str, output: Path) -> Path:
    built(checkpoint, task, output)
    return output / "tiny"


@pytest.mark.parametrize(
    ("task", "row", "message"),
    [
        ("token-classification", {"tokens": ["a", "b"], "tags": ["O"]}, "line 1 is not a token-classification example"),
        ("token-classification", {"tokens": ["a b"], "tags": ["O"]}, "line 1 is not a token-classification example"),
        ("token-classification", {"tokens": ["a"], "tags": ["B-LOC"]}, "label 'B-LOC' is none of the model's 3: O"),
        ("token-classification", {"tokens": "a"}, 'expected an object with "text", or "tokens" and "tags"'),
        ("question-answering", {"question": "a"}, 'expected an object with "question" and "context"'),
        ("question-answering", {"question": "a", "context": "b", "answers": "b"}, "line 1 is not a question-answering"),
    ],
)
def test_data_that_says_something_else_is_refused(tmp_path: Path, task: str, row: dict[str, Any], message: str) -> None:
    options = {"id2label": TAGS} if task == "token-classification" else {}
    checkpoint = write_tokenized("wordpiece", task, tmp_path / "checkpoint", **options)
    with pytest.raises(CatalogueError, match=message):
        labelled(checkpoint, task, [row] * 12)
