"""Predictions: what they count, which tasks a model answers, and models by name."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from layers.errors import ArtifactError, InputError
from layers.runtime.predictor import Predictor, load_predictors
from tests.runtime.toy_artifact import Toy


def test_a_prediction_says_what_it_took(toy: Toy) -> None:
    prediction = Predictor.load(toy.directory).predict(["an editor", "editor " * 40])
    assert prediction.token_count == 4 + 32
    assert prediction.truncated_tokens == 10
    assert min(prediction.tokenization_ms, prediction.inference_ms, prediction.postprocessing_ms) > 0


def test_too_many_inputs_are_refused(toy: Toy) -> None:
    predictor = Predictor.load(toy.directory)
    assert len(predictor.predict(["a"] * 3, max_inputs=3).value) == 3
    with pytest.raises(InputError, match="got 4, expected at most 3"):
        predictor.predict(["a"] * 4, max_inputs=3)


def test_a_classifier_answers_its_own_task_only(toy: Toy) -> None:
    predictor = Predictor.load(toy.directory)
    assert predictor.tasks == ("text-classification",)
    with pytest.raises(InputError, match="toy answers text-classification: got task 'embed'") as refusal:
        predictor.predict("text", task="embed")
    assert refusal.value.status == 404


def test_an_encoder_answers_every_embedding_task(encoder: Toy) -> None:
    assert Predictor.load(encoder.directory).tasks == ("feature-extraction", "sentence-similarity", "embed")


def test_a_repeated_text_is_tokenized_once(toy: Toy) -> None:
    predictor = Predictor.load(toy.directory)
    for _ in range(5):
        predictor.predict("an editor")
    report = predictor.cache_reports()["encodings"]
    assert (report.hits, report.misses) == (4, 1)


def test_threads_get_what_one_thread_gets(toy: Toy) -> None:
    predictor = Predictor.load(toy.directory, threads=1)
    texts = [f"package number {number}" for number in range(60)]
    alone = [predictor.predict(text).value for text in texts]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda text: predictor.predict(text).value, texts))
    assert together == alone


def test_one_artifact_is_served_by_its_name(toy: Toy) -> None:
    assert list(load_predictors(toy.directory)) == ["toy"]


def test_a_folder_of_artifacts_is_served_by_name(toy: Toy, encoder: Toy, tmp_path: Path) -> None:
    for artifact in (toy, encoder):
        shutil.copytree(artifact.directory, tmp_path / artifact.directory.name)
    (tmp_path / "notes").mkdir()
    predictors = load_predictors(tmp_path, threads=1)
    assert {name: predictor.manifest.task for name, predictor in predictors.items()} == {
        "encoder": "feature-extraction",
        "toy": "text-classification",
    }


def test_two_artifacts_of_a_name_are_refused(toy: Toy, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        shutil.copytree(toy.directory, tmp_path / folder)
    with pytest.raises(ArtifactError, match=r"another artifact .* named 'toy'"):
        load_predictors(tmp_path)


def test_a_folder_without_artifacts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"neither manifest\.json nor folders"):
        load_predictors(tmp_path)
