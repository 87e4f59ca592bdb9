"""feature-extraction: the pooled vector where the checkpoint states how, otherwise a vector a token."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from layers.errors import InputError
from layers.runtime.run import Run
from layers.runtime.tasks.embedding import EmbeddingParameters, embed, embeds, encode_vectors, with_prompt
from layers.runtime.tasks.task import Task, read_texts


def answer(run: Run, inputs: Any, parameters: Mapping[str, Any]) -> Any:
    """Pooled: [[float]], one vector a text. Bare encoder: [sequence][hidden] for a text, a list of those for a list.

    `normalize` defaults to what the checkpoint states.
    """
    options = EmbeddingParameters.read(parameters)
    texts, is_list = read_texts(inputs)
    run.admit(len(texts))
    pooling = run.manifest.pooling
    if pooling is not None and pooling.stated:
        normalize = pooling.normalize if options.normalize is None else options.normalize
        return encode_vectors(embed(run, texts, options, normalize=normalize), options)
    for name in ("normalize", "dimensions"):
        if getattr(options, name):
            raise InputError(
                f"parameter {name!r}: {run.manifest.name} answers one vector a token; POST /embed for pooled ones."
            )
    encodings = run.encode(
        [(text, None) for text in with_prompt(run, texts, options.prompt_name)], **options.truncation_options()
    )
    vectors = [outputs["last_hidden_state"] for outputs in run.forward(encodings, ["last_hidden_state"])]
    answers = encode_vectors(vectors, options)
    return answers if is_list else answers[0]


TASK = Task(answer, served_by=embeds)
