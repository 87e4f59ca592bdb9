"""sentence-similarity: the cosine of one sentence's vector with each of several others'."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from layers.errors import InputError
from layers.runtime.run import Run
from layers.runtime.tasks.embedding import EmbeddingParameters, embed, embeds
from layers.runtime.tasks.task import Task, kind


def answer(run: Run, inputs: Any, parameters: Mapping[str, Any]) -> list[float]:
    """{"source_sentence": str, "sentences": [str]} to one cosine a sentence."""
    options = EmbeddingParameters.read(parameters)
    source, sentences = _read(inputs)
    run.admit(len(sentences))
    source_vector, *vectors = embed(run, [source, *sentences], options, normalize=True)
    return [float(source_vector @ vector) for vector in vectors]


def _read(inputs: Any) -> tuple[str, list[str]]:
    if not isinstance(inputs, dict) or set(inputs) != {"source_sentence", "sentences"}:
        got = f"the keys {list(inputs)}" if isinstance(inputs, dict) else kind(inputs)
        raise InputError(f'inputs: got {got}, expected {{"source_sentence": string, "sentences": [string]}}.')
    source, sentences = inputs["source_sentence"], inputs["sentences"]
    if not isinstance(source, str):
        raise InputError(f"inputs.source_sentence: got {kind(source)}, expected a string.")
    if not isinstance(sentences, list):
        raise InputError(f"inputs.sentences: got {kind(sentences)}, expected a list of strings.")
    for position, sentence in enumerate(sentences):
        if not isinstance(sentence, str):
            raise InputError(f"inputs.sentences[{position}]: got {kind(sentence)}, expected a string.")
    return source, sentences


TASK = Task(answer, served_by=embeds)
