"""Vectors equal those of the unmodified model, pooled as sentence-transformers defines it, on texts of every kind."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, pipeline

from layers.runtime.predictor import Predictor
from tests.runtime.tasks.texts import TEXTS
from tests.runtime.tasks.tokenized_checkpoints import KINDS, reference_model


@pytest.fixture(scope="module", params=KINDS)
def checkpoint(request: Any, tokenized: Callable[..., Path]) -> Path:
    return tokenized(request.param, "encoder")


def sentence_checkpoint(checkpoint: Path, directory: Path, settings: dict[str, Any]) -> Path:
    """The checkpoint as sentence-transformers would save it: mean pooling, and settings of its first module."""
    shutil.copytree(checkpoint, directory, dirs_exist_ok=True)
    (directory / "1_Pooling").mkdir()
    kinds = [("Transformer", ""), ("Pooling", "1_Pooling")]
    modules = [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for number, (kind, path) in enumerate(kinds)
    ]
    (directory / "modules.json").write_text(json.dumps(modules))
    (directory / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_mean_tokens": True}))
    (directory / "sentence_bert_config.json").write_text(json.dumps(settings))
    return directory


def means(checkpoint: Path, texts: list[str]) -> np.ndarray[Any, Any]:
    """The mean of each text's token vectors [texts, hidden], truncated where the tokenizer says."""
    tokenizer: Any = AutoTokenizer.from_pretrained(checkpoint)
    model: Any = reference_model("encoder", checkpoint)
    with torch.inference_mode():
        states = [model(**tokenizer(text, truncation=True, return_tensors="pt")).last_hidden_state for text in texts]
    return np.stack([state[0].mean(0).numpy() for state in states])


def test_token_vectors_are_those_of_the_pipeline(checkpoint: Path, compiled: Callable[[Path, str], Predictor]) -> None:
    extract = pipeline("feature-extraction", model=str(checkpoint), dtype=torch.float32, device="cpu")
    answers = compiled(checkpoint, "feature-extraction").predict(TEXTS).value
    for text, got in zip(TEXTS, answers, strict=True):
        [expected] = extract(text, truncation=True)
        np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-4)


def test_similarities_are_cosines_of_pooled_vectors(
    checkpoint: Path, compiled: Callable[[Path, str], Predictor]
) -> None:
    vectors = means(checkpoint, TEXTS)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    predictor = compiled(checkpoint, "sentence-similarity")
    for source in (4, 6):
        got = predictor.predict({"source_sentence": TEXTS[source], "sentences": TEXTS}).value
        np.testing.assert_allclose(got, vectors @ vectors[source], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("lower", [True, False])
def test_a_checkpoint_may_ask_for_lower_case(
    checkpoint: Path, compiled: Callable[[Path, str], Predictor], tmp_path: Path, lower: bool
) -> None:
    settings = {"max_seq_length": 64, "do_lower_case": lower}
    predictor = compiled(sentence_checkpoint(checkpoint, tmp_path / "sentences", settings), "feature-extraction")
    assert predictor.manifest.limits.max_tokens == 64
    texts = ["A Library TO Parse", "Straße ΟΔΟΣ ÉTÉ İ", "[MASK] <MASK>"]
    got = np.array(predictor.predict(texts, {"normalize": False}).value)
    np.testing.assert_allclose(
        got, means(checkpoint, [text.lower() for text in texts] if lower else texts), rtol=1e-3, atol=1e-4
    )
