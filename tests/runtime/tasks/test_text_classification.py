"""Labels equal those of transformers' own pipeline on the same weights, on texts of every kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import pipeline

from layers.runtime.predictor import Predictor
from tests.runtime.tasks.texts import TEXTS
from tests.runtime.tasks.tokenized_checkpoints import KINDS

LABELS = {number: f"label {number}" for number in range(7)}
PROBLEMS = ("single_label_classification", "multi_label_classification", "regression")


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("kind", KINDS)
def test_rankings_are_those_of_the_pipeline(
    tokenized: Callable[..., Path], compiled: Callable[[Path, str], Predictor], kind: str, problem: str
) -> None:
    checkpoint = tokenized(kind, "sequence-classification", id2label=LABELS, problem_type=problem)
    reference = pipeline("text-classification", model=str(checkpoint), dtype=torch.float32, device="cpu")
    predictor = compiled(checkpoint, "text-classification")
    pairs: list[Any] = [{"text": text, "text_pair": "naïve 👍🏽 שלום"} for text in TEXTS]
    for inputs in (TEXTS, pairs):
        for item, got in zip(inputs, predictor.predict(inputs, {"top_k": 4}).value, strict=True):
            expected = reference(item, top_k=4, truncation=True)
            assert [entry["label"] for entry in got] == [entry["label"] for entry in expected]
            scores = [entry["score"] for entry in expected]
            np.testing.assert_allclose([entry["score"] for entry in got], scores, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("problem", [None, *PROBLEMS[1:]])
def test_a_single_label_is_scored_as_by_the_pipeline(
    tokenized: Callable[..., Path], compiled: Callable[[Path, str], Predictor], problem: str | None
) -> None:
    """Cross-encoders and reward models: most state no problem_type, and their number is no regression's by itself."""
    checkpoint = tokenized("wordpiece", "sequence-classification", id2label={0: "LABEL_0"}, problem_type=problem)
    reference = pipeline("text-classification", model=str(checkpoint), dtype=torch.float32, device="cpu")
    for text, [got] in zip(TEXTS, compiled(checkpoint, "text-classification").predict(TEXTS, {}).value, strict=True):
        assert got["score"] == pytest.approx(reference(text, truncation=True)[0]["score"], rel=1e-3, abs=1e-5)
