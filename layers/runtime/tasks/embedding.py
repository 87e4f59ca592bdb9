"""One vector a text, always pooled: what `/embed` answers, and what the other embedding tasks build on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from layers.errors import InputError
from layers.runtime.engine import Array
from layers.runtime.run import Run
from layers.runtime.tasks.task import Parameters, Task, built_for
from layers.runtime.tasks.tokens import read_texts_or_tokens
from layers.wording import shown

embeds = built_for("feature-extraction", "sentence-similarity")


class EmbeddingParameters(Parameters):
    """`dimensions` keeps the first so many of each vector, before it is normalized."""

    normalize: bool | None = None
    prompt_name: str | None = None
    dimensions: Annotated[int, Field(ge=1)] | None = None
    encoding_format: Literal["float", "base64"] | None = None


def answer(run: Run, inputs: Any, parameters: Mapping[str, Any]) -> Any:
    """[[float]], one vector a text, unit length unless `normalize` is false."""
    options = EmbeddingParameters.read(parameters)
    texts = read_texts_or_tokens(run, inputs)
    return encode_vectors(embed(run, texts, options, normalize=options.normalize is not False), options)


def embed(run: Run, texts: Sequence[str], options: EmbeddingParameters, *, normalize: bool) -> list[Array]:
    """One vector [dimension] a text, pooled as the checkpoint states, by the mean where it states nothing.

    The graph's `sentence_embedding` is not normalized, whatever the checkpoint states.
    """
    encodings = run.encode(
        [(text, None) for text in with_prompt(run, texts, options.prompt_name)], **options.truncation_options()
    )
    if "sentence_embedding" in run.output_names:
        vectors = [outputs["sentence_embedding"] for outputs in run.forward(encodings, ["sentence_embedding"])]
    else:
        answers = run.forward(encodings, ["last_hidden_state"])
        vectors = [outputs["last_hidden_state"].mean(axis=0) for outputs in answers]
    if options.dimensions is not None:
        if options.dimensions > len(vectors[0]):
            raise InputError(
                f"parameter 'dimensions': got {options.dimensions}, expected at most {len(vectors[0])} for this model."
            )
        vectors = [vector[: options.dimensions] for vector in vectors]
    return [unit(vector) for vector in vectors] if normalize else vectors


def with_prompt(run: Run, texts: Sequence[str], name: str | None) -> Sequence[str]:
    """The texts behind the prompt of that name, or the model's default one. Raises InputError when it has none."""
    pooling = run.manifest.pooling
    prompts = pooling.prompts if pooling else {}
    name = name or (pooling.default_prompt_name if pooling else None)
    if name is None:
        return texts
    if name not in prompts:
        expected = f"one of {', '.join(prompts)}" if prompts else "none: this model has no prompts"
        raise InputError(f"parameter 'prompt_name': got {shown(name)}, expected {expected}.")
    return [prompts[name] + text for text in texts]


def unit(vector: Array) -> Array:
    """The vector at length 1; the zero vector stays what it is."""
    length = np.linalg.norm(vector)
    scaled: Array = vector / max(length, np.finfo(np.float32).tiny)
    return scaled


def encode_vectors(vectors: Sequence[Array], options: EmbeddingParameters) -> list[Any]:
    """As lists of numbers, or as base64 of little-endian float32."""
    if options.encoding_format != "base64":
        return [vector.tolist() for vector in vectors]
    from base64 import b64encode

    return [b64encode(vector.astype("<f4").tobytes()).decode("ascii") for vector in vectors]


TASK = Task(answer, served_by=embeds)
