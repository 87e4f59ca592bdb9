"""Goldens: a few inputs of the gate's data with the answers served, for the check after a deployment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from layers.artifact import Golden
from layers.compiler.draft import Draft
from layers.compiler.examples import Example
from layers.runtime.predictor import Predictor

GOLDENS = 3
# A golden's outputs may move by this share of their scale between machines of one instruction set.
TOLERANCE = {"fp32": 1e-3, "int8": 5e-2, "int4": 1e-1, "fp16": 1e-2, "bf16": 5e-2}
# Labels for zero-shot classification: the gate's data names those of inference, which no client asks for.
CANDIDATE_LABELS = ["software", "politics", "sports"]


def record_goldens(draft: Draft, name: str, judged: Sequence[Example], precision: str) -> tuple[Golden, ...]:
    """What the variant of that name answers to the first few examples, for a variant of `precision` to be held to."""
    predictor = Predictor(draft.open(name))
    tolerance = TOLERANCE[precision]
    mask = draft.tokenizer.facts.mask_token_id
    mask_token = "" if mask is None else predictor.engine.tokenizer.vocabulary.token(mask)
    inputs = INPUTS.get(draft.spec.task, _texts)(judged, mask_token)
    parameters = {"candidate_labels": CANDIDATE_LABELS} if draft.spec.task == "zero-shot-classification" else {}
    return tuple(
        Golden(
            inputs=each,
            parameters=parameters,
            outputs=predictor.predict(each, parameters).value,
            tolerance=tolerance,
        )
        for each in inputs
    )


def _texts(judged: Sequence[Example], _mask: str) -> list[Any]:
    return [example.text for example in judged[:GOLDENS]]


def _pairs(judged: Sequence[Example], _mask: str) -> list[Any]:
    return [
        {"text": example.text, "text_pair": example.text_pair} if example.text_pair else example.text
        for example in judged[:GOLDENS]
    ]


def _sentences(judged: Sequence[Example], _mask: str) -> list[Any]:
    source, *sentences = (example.text for example in judged[: GOLDENS + 1])
    return [{"source_sentence": source, "sentences": sentences}]


def _query(judged: Sequence[Example], _mask: str) -> list[Any]:
    texts = [example.text_pair or example.text for example in judged[1 : GOLDENS + 1]]
    return [{"query": judged[0].text, "texts": texts}]


def _questions(judged: Sequence[Example], _mask: str) -> list[Any]:
    return [{"question": example.text, "context": example.text_pair} for example in judged[:GOLDENS]]


def _hidden(judged: Sequence[Example], mask: str) -> list[Any]:
    """The mask stands before each text, where it is never cut off."""
    return [f"{mask} {example.text}" for example in judged[:GOLDENS]]


INPUTS: dict[str, Callable[[Sequence[Example], str], list[Any]]] = {
    "text-classification": _pairs,
    "sentence-similarity": _sentences,
    "rerank": _query,
    "question-answering": _questions,
    "fill-mask": _hidden,
}
