"""Answers equal those of the unmodified model through transformers 4.57's documented post-processing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from layers.errors import InputError
from layers.runtime.predictor import Predictor
from tests.runtime.tasks.squad_answers import answers
from tests.runtime.tasks.texts import LONG, TEXTS
from tests.runtime.tasks.tokenized_checkpoints import KINDS

QUESTION = "who said naïve 👍?"
WINDOWS = {"max_seq_len": 48, "doc_stride": 16}
CONTEXTS = [text for text in TEXTS if text.strip()]


@pytest.fixture(scope="module", params=KINDS)
def checkpoint(request: Any, tokenized: Callable[..., Path]) -> Path:
    return tokenized(request.param, "question-answering")


@pytest.fixture(scope="module")
def predictor(checkpoint: Path, compiled: Callable[[Path, str], Predictor]) -> Predictor:
    return compiled(checkpoint, "question-answering")


def compare(got: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    assert [{**entry, "score": 0} for entry in got] == [{**entry, "score": 0} for entry in expected]
    np.testing.assert_allclose([e["score"] for e in got], [e["score"] for e in expected], rtol=2e-3, atol=1e-7)


@pytest.mark.parametrize("settings", [{}, {"align_to_words": False}, {"max_answer_len": 3}, {"max_answer_len": 60}])
@pytest.mark.parametrize("top_k", [1, 4])
def test_answers_are_those_of_the_documented_pipeline(
    checkpoint: Path, predictor: Predictor, settings: dict[str, Any], top_k: int
) -> None:
    questions = [{"question": QUESTION, "context": context} for context in CONTEXTS]
    got = predictor.predict(questions, {**WINDOWS, **settings, "top_k": top_k}).value
    for own, context in zip(got, CONTEXTS, strict=True):
        compare(own if top_k > 1 else [own], answers(checkpoint, QUESTION, context, top_k=top_k, **WINDOWS, **settings))


@pytest.mark.parametrize("stride", [0, 5, 20])
def test_long_contexts_are_read_in_parts(checkpoint: Path, predictor: Predictor, stride: int) -> None:
    windows = {"max_seq_len": 60, "doc_stride": stride}
    prediction = predictor.predict({"question": QUESTION, "context": LONG}, {**windows, "top_k": 6})
    compare(prediction.value, answers(checkpoint, QUESTION, LONG, top_k=6, **windows))
    assert prediction.truncated_tokens == 0
    for entry in prediction.value:
        assert LONG[entry["start"] : entry["end"]] == entry["answer"]


@pytest.mark.parametrize("stride", [0, 5, 20])
def test_parts_begin_at_the_end_where_the_tokenizer_cuts_the_beginning(
    checkpoint: Path,
    compiled: Callable[[Path, str], Predictor],
    cut_from_the_left: Callable[[Path], Path],
    stride: int,
) -> None:
    left = cut_from_the_left(checkpoint)
    windows = {"max_seq_len": 60, "doc_stride": stride}
    got = compiled(left, "question-answering").predict({"question": QUESTION, "context": LONG}, {**windows, "top_k": 6})
    compare(got.value, answers(left, QUESTION, LONG, top_k=6, **windows))


def test_there_may_be_no_answer(checkpoint: Path, predictor: Predictor) -> None:
    settings = {**WINDOWS, "handle_impossible_answer": True, "top_k": 100}
    for context in CONTEXTS:
        got = predictor.predict({"question": QUESTION, "context": context}, settings).value
        compare(got, answers(checkpoint, QUESTION, context, **settings))
    got = predictor.predict({"question": QUESTION, "context": "."}, settings).value
    assert {"answer": "", "start": 0, "end": 0} in [{k: e[k] for k in ("answer", "start", "end")} for e in got]


def test_a_context_without_tokens_has_the_empty_answer(predictor: Predictor) -> None:
    assert predictor.predict({"question": "who?", "context": " "}).value["answer"].strip() == ""


def test_one_answer_is_an_object_and_several_are_a_list(predictor: Predictor) -> None:
    one = predictor.predict({"question": "who?", "context": TEXTS[3]}).value
    assert set(one) == {"answer", "score", "start", "end"}
    several = predictor.predict({"question": "who?", "context": TEXTS[3]}, {"top_k": 2}).value
    assert len(several) == 2
    # Scores differ: with more answers wanted, more spans are added up.
    assert several[0]["score"] >= several[1]["score"]
    assert predictor.predict([{"question": "who?", "context": TEXTS[3]}]).value == [one]


def test_defaults_follow_the_model(checkpoint: Path, predictor: Predictor) -> None:
    limit = predictor.manifest.limits.max_tokens
    got = predictor.predict({"question": QUESTION, "context": LONG}).value
    compare([got], answers(checkpoint, QUESTION, LONG, max_seq_len=limit, doc_stride=limit // 2))


def test_a_long_question_can_be_cut(predictor: Predictor) -> None:
    question = "who " * 100
    with pytest.raises(InputError, match=r"input is too long: got \d+ tokens beside the text"):
        predictor.predict({"question": question, "context": LONG})
    prediction = predictor.predict({"question": question, "context": LONG}, {"max_question_len": 10})
    short = predictor.predict({"question": question, "context": LONG}, {"max_question_len": 9})
    assert short.truncated_tokens == prediction.truncated_tokens + 1


@pytest.mark.parametrize(
    ("inputs", "parameters", "message"),
    [
        ("text", {}, 'inputs: got a string, expected {"question"'),
        ({"question": "who?"}, {}, r"inputs: got the keys \['question'\]"),
        ([{"question": "who?", "context": 3}], {}, r"inputs\[0\].context: got a number"),
        ({"question": "", "context": "a"}, {}, "inputs.question: got an empty text"),
        ({"question": "a", "context": ""}, {}, "inputs.context: got an empty text"),
        ([], {}, "inputs is empty"),
        ({"question": "a", "context": LONG}, {"doc_stride": 64}, "parts of the text share 64 tokens"),
        ({"question": "a", "context": "b"}, {"doc_stride": 400}, "parameter 'doc_stride': got 400"),
        ({"question": "a", "context": "b"}, {"max_seq_len": 400}, "parameter 'max_seq_len': got 400, expected at most"),
        ({"question": "a", "context": "b"}, {"top_k": 0}, "parameter 'top_k': got 0"),
        ({"question": "a", "context": "b"}, {"topk": 1}, "unknown parameter 'topk'"),
        ({"question": "a", "context": LONG}, {"max_seq_len": 4}, "input is too long"),
        ({"question": "a", "context": "library " * 3000}, {"doc_stride": 55}, "expected at most 256 parts"),
    ],
)
def test_what_cannot_be_answered_is_refused(
    predictor: Predictor, inputs: Any, parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        predictor.predict(inputs, parameters)
