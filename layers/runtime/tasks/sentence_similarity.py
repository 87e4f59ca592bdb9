"""sentence-similarity: the cosine of one sentence's vector with each of several others'."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from layers.runtime.run import Run
from layers.runtime.tasks.embedding import EmbeddingParameters, embed, embeds
from layers.runtime.tasks.task import Task, read_one_and_many


def answer(run: Run, inputs: Any, parameters: Mapping[str, Any]) -> list[float]:
    """{"source_sentence": str, "sentences": [str]} to one cosine a sentence."""
    options = EmbeddingParameters.read(parameters)
    source, sentences = read_one_and_many(inputs, "source_sentence", "sentences")
    run.admit(len(sentences))
    source_vector, *vectors = embed(run, [source, *sentences], options, normalize=True)
    return [float(source_vector @ vector) for vector in vectors]


TASK = Task(answer, served_by=embeds)
