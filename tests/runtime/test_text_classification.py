"""Labels and scores equal those of transformers' own pipeline on the same logits."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import TextClassificationPipeline
from transformers.pipelines.text_classification import ClassificationFunction

from layers.errors import InputError
from layers.runtime.predictor import Predictor
from tests.runtime.toy_artifact import LABELS, Toy, write_toy

PROBLEMS = [
    (LABELS, None),
    (LABELS, "single_label_classification"),
    (LABELS, "multi_label_classification"),
    (LABELS, "regression"),
    (("score",), None),
    (("score",), "regression"),
]


def transformers_scores(predictor: Predictor, text: str, top_k: int | None, function: str | None) -> Any:
    """What the pipeline makes of the logits that this model gave."""
    encoding = predictor.engine.tokenizer.encode(text)
    [outputs] = predictor.engine.forward([encoding])
    manifest = predictor.manifest
    config = SimpleNamespace(
        problem_type=manifest.problem_type, num_labels=len(manifest.labels), id2label=dict(enumerate(manifest.labels))
    )
    return TextClassificationPipeline.postprocess(
        SimpleNamespace(model=SimpleNamespace(config=config)),
        {"logits": torch.from_numpy(outputs["logits"][None])},
        function_to_apply=ClassificationFunction[function.upper()] if function else None,
        top_k=top_k,
        _legacy=False,
    )


@pytest.mark.parametrize("function", [None, "sigmoid", "softmax", "none"])
@pytest.mark.parametrize("top_k", [None, 1, 2, 9])
@pytest.mark.parametrize(("labels", "problem_type"), PROBLEMS)
def test_scores_are_those_of_transformers(
    tmp_path: Path, labels: tuple[str, ...], problem_type: str | None, top_k: int | None, function: str | None
) -> None:
    predictor = Predictor.load(write_toy(tmp_path / "toy", labels=labels, problem_type=problem_type).directory)
    for text in ("an editor", "", "networking tools for python"):
        parameters = {"top_k": top_k} | ({"function_to_apply": function} if function else {})
        assert predictor.predict(text, parameters).value == [transformers_scores(predictor, text, top_k, function)]


@pytest.fixture(scope="module")
def predictor(toy: Toy) -> Predictor:
    return Predictor.load(toy.directory, threads=1)


def test_five_labels_are_the_default(tmp_path: Path) -> None:
    labels = tuple(f"label {number}" for number in range(8))
    predictor = Predictor.load(write_toy(tmp_path / "toy", labels=labels).directory)
    [ranking] = predictor.predict("an editor").value
    assert len(ranking) == 5
    assert [entry["score"] for entry in ranking] == sorted((entry["score"] for entry in ranking), reverse=True)


def test_extreme_logits_make_finite_scores(tmp_path: Path) -> None:
    predictor = Predictor.load(write_toy(tmp_path / "toy", bias=-1e30).directory)
    for function in ("sigmoid", "softmax"):
        [ranking] = predictor.predict("an editor", {"function_to_apply": function}).value
        assert np.isfinite([entry["score"] for entry in ranking]).all()


def test_a_list_is_answered_as_its_texts_are(predictor: Predictor) -> None:
    texts = ["an editor", "networking tools", ""]
    together = predictor.predict(texts).value
    for text, ranking in zip(texts, together, strict=True):
        [alone] = predictor.predict(text).value
        assert [entry["label"] for entry in alone] == [entry["label"] for entry in ranking]
        np.testing.assert_allclose([e["score"] for e in alone], [e["score"] for e in ranking], rtol=1e-5)


@pytest.mark.parametrize(
    "inputs",
    [
        {"text": "an editor", "text_pair": "for text"},
        [{"text": "an editor", "text_pair": "for text"}],
        [["an editor", "for text"]],
    ],
)
def test_pairs_use_both_texts(toy: Toy, predictor: Predictor, inputs: Any) -> None:
    encoding = predictor.engine.tokenizer.encode("an editor", "for text")
    assert 1 in encoding.token_type_ids
    logits = toy.vector(encoding.input_ids, encoding.token_type_ids) @ toy.head
    [ranking] = predictor.predict(inputs, {"function_to_apply": "none", "top_k": None}).value
    np.testing.assert_allclose([entry["score"] for entry in ranking], sorted(logits, reverse=True), rtol=1e-5)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (None, "inputs: got null, expected a string"),
        (3, "inputs: got a number"),
        ([], "inputs is empty: got 0 texts"),
        (["fine", 3], r"inputs\[1\]: got a number"),
        (["fine", ["a", "b"]], r"inputs\[1\]: got a list"),
        ({}, r"inputs: got the keys \[\], expected text"),
        ({"text": "a", "pair": "b"}, r"got the keys \['text', 'pair'\]"),
        ({"text": "a", "text_pair": 3}, "inputs.text_pair: got a number"),
        ({"text": None}, "inputs.text: got null"),
    ],
)
def test_inputs_of_another_shape_are_refused(predictor: Predictor, inputs: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        predictor.predict(inputs)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"topk": 1}, "unknown parameter 'topk': expected one of .*top_k"),
        ({"top_k": 0}, "parameter 'top_k': got 0"),
        ({"top_k": "3"}, "parameter 'top_k': got '3'"),
        ({"top_k": True}, "parameter 'top_k': got True"),
        ({"top_k": 1.5}, "parameter 'top_k': got 1.5"),
        ({"function_to_apply": "tanh"}, "parameter 'function_to_apply': got 'tanh', .*'sigmoid'"),
        ({"truncate": "yes"}, "parameter 'truncate': got 'yes'"),
        ({"truncation": "some"}, "parameter 'truncation': got 'some'"),
        ({"truncate": True, "truncation": "do_not_truncate"}, "contradict each other"),
        ({"truncate": False, "truncation": True}, "contradict each other"),
    ],
)
def test_parameters_that_mean_nothing_are_refused(
    predictor: Predictor, parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        predictor.predict("an editor", parameters)


@pytest.mark.parametrize("parameters", [{"truncate": False}, {"truncation": False}, {"truncation": "do_not_truncate"}])
def test_truncation_can_be_refused_in_either_spelling(predictor: Predictor, parameters: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="got 42 tokens, the model takes 32"):
        predictor.predict("editor " * 40, parameters)


def test_a_side_can_be_chosen(predictor: Predictor) -> None:
    text = " ".join(f"word {number}" for number in range(40))
    answers = [predictor.predict(text, {"truncation_direction": side}).value for side in ("left", "Right", "right")]
    assert answers[0] != answers[1] == answers[2]
