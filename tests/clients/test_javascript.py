"""`@huggingface/inference` from npm, in Node: every task that it has a function for."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from layers.runtime.predictor import Predictor

ROOT = Path(__file__).parents[2]
TEXT = "an editor for text"


@pytest.fixture(scope="module")
def answers(url: str) -> dict[str, Any]:
    """What the client made of every answer, by function."""
    assert (ROOT / "node_modules/@huggingface/inference").is_dir(), "the client is not installed: npm ci"
    script = str(Path(__file__).with_name("javascript_client.mjs"))
    process = subprocess.run(["node", script, url, TEXT], cwd=ROOT, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    found: dict[str, Any] = json.loads(process.stdout)
    return found


@pytest.mark.parametrize(
    ("function", "name", "inputs", "task", "parameters"),
    [
        ("featureExtraction", "sentences", TEXT, None, {}),
        ("tokenClassification", "entities", TEXT, None, {}),
        ("fillMask", "masks", "an editor for [MASK].", None, {}),
        (
            "sentenceSimilarity",
            "sentences",
            {"source_sentence": TEXT, "sentences": [TEXT, "net"]},
            "sentence-similarity",
            {},
        ),
        ("questionAnswering", "answers", {"question": "what is it?", "context": TEXT}, None, {}),
        ("zeroShotClassification", "labels", TEXT, None, {"candidate_labels": ["software", "music"]}),
    ],
)
def test_an_answer_arrives_as_it_was_given(
    answers: dict[str, Any],
    models: dict[str, Predictor],
    function: str,
    name: str,
    inputs: Any,
    task: str | None,
    parameters: dict[str, Any],
) -> None:
    assert answers[function] == models[name].predict(inputs, parameters, task=task).value


def test_classification_summaries_and_translations_are_unwrapped(
    answers: dict[str, Any], models: dict[str, Predictor]
) -> None:
    assert [answers["textClassification"]] == models["classifier"].predict(TEXT).value
    limit = {"max_new_tokens": 4}
    assert [answers["summarization"]] == models["summarizer"].predict(TEXT, limit).value
    assert [answers["translation"]] == models["translator"].predict(TEXT, limit).value


def test_text_is_written_whole_and_streamed(answers: dict[str, Any], models: dict[str, Predictor]) -> None:
    [written] = models["writer"].predict(TEXT, {"max_new_tokens": 5, "return_full_text": False}).value
    assert answers["textGeneration"] == written
    assert answers["textGenerationStream"] == written["generated_text"]
    assert answers["chatCompletion"]["choices"][0]["message"]["content"] == answers["chatCompletionStream"]


def test_a_refusal_carries_our_words(answers: dict[str, Any]) -> None:
    assert "top_k" in answers["refusal"]
