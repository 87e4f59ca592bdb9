"""embed_all: one vector a token, never pooled, whatever the checkpoint states: what TEI's `/embed_all` answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from layers.errors import InputError
from layers.runtime.run import Run
from layers.runtime.tasks.embedding import EmbeddingParameters, embeds, encode_vectors, with_prompt
from layers.runtime.tasks.task import Task
from layers.runtime.tasks.tokens import read_texts_or_tokens


def answer(run: Run, inputs: Any, parameters: Mapping[str, Any]) -> Any:
    """[texts][tokens][hidden], for one text as for several."""
    options = EmbeddingParameters.read(parameters)
    for name in ("normalize", "dimensions"):
        if getattr(options, name):
            raise InputError(f"parameter {name!r}: vectors of tokens are not pooled; POST /embed.", parameter=name)
    if "last_hidden_state" not in run.output_names:
        raise InputError(f"{run.manifest.name} gives pooled vectors only: POST /embed.")
    texts = read_texts_or_tokens(run, inputs)
    encodings = run.encode(
        [(text, None) for text in with_prompt(run, texts, options.prompt_name)], **options.truncation_options()
    )
    answers = run.forward(encodings, ["last_hidden_state"])
    return encode_vectors([outputs["last_hidden_state"] for outputs in answers], options)


TASK = Task(answer, served_by=embeds)
