"""Requests answered together: the same answers as alone, fewer runs, and every failure its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from layers.errors import InputError, ModelOutputError
from layers.runtime.alignment import Encoding
from layers.runtime.engine import Engine, Outputs
from layers.runtime.predictor import Predictor
from layers.runtime.request import MAX_TOGETHER, Request
from layers.runtime.run import Prediction
from layers.runtime.together import TogetherPredictor
from tests.runtime.generation.toy_decoder import write_toy_decoder
from tests.runtime.toy_artifact import Toy

TEXTS = ["an editor", "a much longer description of a library for reading files", "editor " * 40, ""]


class CountingEngine(Engine):
    """Counts calls, and fails for texts of one length."""

    calls: list[int]
    fails_at: int | None = None

    def forward(self, encodings: Sequence[Encoding], outputs: Sequence[str] | None = None) -> list[Outputs]:
        self.calls.append(len(encodings))
        if self.fails_at in {len(encoding) for encoding in encodings}:
            raise ModelOutputError("logits of a text are not finite")
        return super().forward(encodings, outputs)


@pytest.fixture
def counting(toy: Toy) -> CountingEngine:
    engine = CountingEngine.load(toy.directory, threads=1)
    assert isinstance(engine, CountingEngine)
    engine.calls = []
    return engine


def numbers(value: Any) -> Any:
    """Every number of an answer, in order."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [number for item in value for number in numbers(item)]
    return [value] if isinstance(value, float) else []


def check_as_alone(predictor: Predictor, requests: list[Request]) -> None:
    together = TogetherPredictor(predictor).predict(requests, 32)
    for request, outcome in zip(requests, together, strict=True):
        alone = predictor.predict(request.inputs, request.parameters, task=request.task)
        assert isinstance(outcome, Prediction)
        np.testing.assert_allclose(numbers(outcome.value), numbers(alone.value), rtol=1e-4, atol=1e-5)
        assert str(outcome.value).count("[") == str(alone.value).count("[")
        assert (outcome.token_count, outcome.truncated_tokens) == (alone.token_count, alone.truncated_tokens)
        assert outcome.generated_tokens == alone.generated_tokens
        assert min(outcome.tokenization_ms, outcome.inference_ms, outcome.postprocessing_ms) > 0


def test_classification_as_alone_in_one_call(counting: CountingEngine) -> None:
    requests = [
        *(Request(text) for text in TEXTS),
        Request(TEXTS[:3], {"top_k": 1}),
        Request({"text": "an editor", "text_pair": "of images"}, {"function_to_apply": "none"}),
        Request([["an editor", "of text"]]),
    ]
    TogetherPredictor(Predictor(counting)).predict(requests)
    assert counting.calls == [9]
    check_as_alone(Predictor(counting), requests)


def test_tasks_of_one_model_mix(sentences: Toy, encoder: Toy) -> None:
    requests = [
        Request("an editor"),
        Request(TEXTS[:2], {"normalize": True}, "embed"),
        Request({"source_sentence": "an editor", "sentences": TEXTS[:2]}, task="sentence-similarity"),
    ]
    check_as_alone(Predictor.load(sentences.directory, threads=1), requests)
    check_as_alone(Predictor.load(encoder.directory, threads=1), requests)


def test_more_requests_than_a_group_holds(counting: CountingEngine) -> None:
    requests = [Request(f"editor {number}") for number in range(MAX_TOGETHER + 3)]
    check_as_alone(Predictor(counting), requests)
    assert counting.calls[:2] == [MAX_TOGETHER, 3]


def test_what_was_drawn_by_nobodys_seed_is_not_repeatable(tmp_path: Path) -> None:
    predictor = Predictor.load(write_toy_decoder(tmp_path / "writer").directory, threads=1)
    drawn = {"max_new_tokens": 2, "temperature": 3.0}
    asked = [drawn, {**drawn, "num_return_sequences": 2}, {**drawn, "seed": 1}, {"max_new_tokens": 2}]
    outcomes = TogetherPredictor(predictor).predict([Request("an editor", parameters) for parameters in asked])
    assert [getattr(outcome, "repeatable", None) for outcome in outcomes] == [False, False, True, True]


def test_a_refusal_is_its_own(counting: CountingEngine) -> None:
    predictor = TogetherPredictor(Predictor(counting))
    first, second, third, fourth = predictor.predict(
        [Request("an editor"), Request(7), Request("an editor", {"topk": 1}), Request(["a"] * 3)], max_inputs=2
    )
    assert isinstance(first, Prediction)
    assert all(isinstance(outcome, InputError) for outcome in (second, third, fourth))
    assert "topk" in str(third)


def test_a_model_that_fails_on_one_text_answers_the_others(counting: CountingEngine) -> None:
    counting.fails_at = 32
    outcomes = TogetherPredictor(Predictor(counting)).predict([Request(text) for text in TEXTS])
    assert [type(outcome) for outcome in outcomes] == [Prediction, Prediction, ModelOutputError, Prediction]


def test_writing_as_alone(tmp_path: Path) -> None:
    directory = write_toy_decoder(tmp_path / "writer").directory
    predictor = Predictor.load(directory, threads=1)
    requests = [
        Request("python3-requests", {"max_new_tokens": 4}),
        Request(["chess", "an editor"], {"max_new_tokens": 7, "return_full_text": False}),
        Request("chess", {"max_new_tokens": 3, "num_beams": 2}),
        Request("chess", {"max_new_tokens": 3, "temperature": 0.9, "seed": 5, "details": True}),
        Request("chess", {"max_new_tokens": 3, "do_sample": True, "seed": 5, "num_return_sequences": 2}),
        Request("chess", {"max_new_tokens": 3, "do_sample": True, "seed": 5, "best_of": 2}),
    ]
    check_as_alone(predictor, requests)
    for request, outcome in zip(requests, TogetherPredictor(predictor).predict(requests), strict=True):
        assert isinstance(outcome, Prediction)
        texts = [str(predictor.predict(request.inputs, request.parameters).value), str(outcome.value)]
        assert texts[0].split("'details'")[0] == texts[1].split("'details'")[0]
