"""Goldens: a few inputs of the gate's data with the answers served, for the check after a deployment."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

from layers.artifact import Golden
from layers.compiler.draft import Draft
from layers.compiler.examples import Example
from layers.generation import Generation
from layers.runtime.generation.engine import GenerationEngine
from layers.runtime.predictor import Predictor

GOLDENS = 3
# A golden's outputs may move by this share of their scale between machines of one instruction set.
TOLERANCE = {"fp32": 1e-3, "int8": 5e-2, "int4": 1e-1, "fp16": 1e-2, "bf16": 5e-2}
# Texts looked at, words they are begun with, tokens written, and how probable each of these must be.
WRITTEN_EXAMPLES = 16
BEGINNING_WORDS = 24
WRITTEN_TOKENS = 8
SURE = 0.6
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


def record_written(draft: Draft, name: str, judged: Sequence[Example]) -> tuple[Golden, ...]:
    """Beginnings that the variant is sure of, and the few tokens it writes after them; none when it is sure of nothing.

    Texts are compared letter by letter, and another machine rounds otherwise: a token that was barely the likeliest
    may be another there. So only tokens of at least SURE are asked for, after the texts with most of them.
    """
    draft.manifest(chosen={}, goldens=(), parity="").write(draft.directory)
    engine = GenerationEngine.load(draft.directory, variant=name, alone=False, prefix_cache_bytes=0)
    predictor = Predictor(engine)
    languages = _languages(engine.generation) if draft.spec.task == "translation" else {}
    found: list[tuple[int, Golden]] = []
    for example in judged[:WRITTEN_EXAMPLES]:
        text = _beginning(example.text) if draft.spec.task == "text-generation" else example.text
        parameters = {"do_sample": False, "num_beams": 1, **languages}
        sure = _sure_tokens(predictor, text, {**parameters, "max_new_tokens": WRITTEN_TOKENS})
        if sure:
            parameters["max_new_tokens"] = sure
            outputs = predictor.predict(text, parameters).value
            found.append((sure, Golden(inputs=text, parameters=parameters, outputs=outputs, tolerance=0.0)))
    found.sort(key=lambda pair: -pair[0])
    return tuple(golden for _, golden in found[:GOLDENS])


def _sure_tokens(predictor: Predictor, text: str, parameters: dict[str, Any]) -> int:
    """How many tokens in a row, from the first on, had a probability of at least SURE."""
    count = 0
    with closing(predictor.predict_stream(text, parameters)) as events:
        for event in events:
            if event.logprob is None or event.logprob < math.log(SURE):
                break
            count += 1
    return count


def _beginning(text: str) -> str:
    return " ".join(text.split()[:BEGINNING_WORDS])


def _languages(generation: Generation) -> dict[str, str]:
    """The first language to the last one, where a request has to name two."""
    sources = [name.removeprefix("source:") for name in generation.prefixes if name.startswith("source:")]
    targets = [name.removeprefix("target:") for name in generation.prefixes if name.startswith("target:")]
    return {"src_lang": sources[0], "tgt_lang": targets[-1]} if sources and targets else {}


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
