"""text-classification: labels with scores, most likely first, scored as transformers' pipeline scores them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from layers.artifact import Manifest
from layers.errors import InputError
from layers.runtime.engine import Array
from layers.runtime.run import Run, TextPair
from layers.runtime.tasks.task import Parameters, Task, classifies
from layers.wording import kind

Function = Literal["sigmoid", "softmax", "none"]

# What the hosted Inference API answers when nothing is said; the pipeline's own default is 1.
DEFAULT_TOP_K = 5


class ClassificationParameters(Parameters):
    """`top_k` null gives every label. `function_to_apply` defaults by the model's problem type."""

    top_k: Annotated[int, Field(ge=1)] | None = DEFAULT_TOP_K
    function_to_apply: Function | None = None


def answer(run: Run, inputs: Any, parameters: Mapping[str, Any]) -> list[list[dict[str, Any]]]:
    """One list of {"label", "score"} a text, whether one text or a list of them was sent."""
    options = ClassificationParameters.read(parameters)
    texts = read_pairs(inputs)
    run.admit(len(texts))
    encodings = run.encode(texts, **options.truncation_options())
    function = options.function_to_apply or _default_function(run.manifest)
    return [
        _ranking(scores_of(outputs["logits"], function), run.manifest.labels, options.top_k)
        for outputs in run.forward(encodings, ["logits"])
    ]


def read_pairs(inputs: Any) -> list[TextPair]:
    """A text, {"text", "text_pair"}, a list of those, or [[text, text_pair]] as older clients send."""
    if isinstance(inputs, list):
        if len(inputs) == 1 and isinstance(inputs[0], list) and len(inputs[0]) == 2:
            return [_pair({"text": inputs[0][0], "text_pair": inputs[0][1]}, "inputs[0]")]
        return [_pair(item, f"inputs[{position}]") for position, item in enumerate(inputs)]
    return [_pair(inputs, "inputs")]


def _pair(item: Any, where: str) -> TextPair:
    if isinstance(item, str):
        return item, None
    if not isinstance(item, dict):
        raise InputError(f'{where}: got {kind(item)}, expected a string or {{"text", "text_pair"}}.')
    unknown = [key for key in item if key not in ("text", "text_pair")]
    if unknown or "text" not in item:
        raise InputError(f"{where}: got the keys {list(item)}, expected text and, if there is one, text_pair.")
    for key, value in item.items():
        if not isinstance(value, str) and not (key == "text_pair" and value is None):
            raise InputError(f"{where}.{key}: got {kind(value)}, expected a string.")
    # An empty text_pair is none, as in transformers.
    return item["text"], item.get("text_pair") or None


def _default_function(manifest: Manifest) -> Function:
    if manifest.problem_type == "regression":
        return "none"
    if manifest.problem_type == "multi_label_classification" or len(manifest.labels) == 1:
        return "sigmoid"
    return "softmax"


def scores_of(logits: Array, function: Function) -> Array:
    """Logits [..., labels] as the scores that a function makes of them."""
    scores = logits
    if function == "sigmoid":
        with np.errstate(over="ignore"):  # exp overflows to infinity, and 1 / infinity is the 0 that is meant
            scores = 1.0 / (1.0 + np.exp(-logits))
    elif function == "softmax":
        exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
        scores = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return scores


def _ranking(scores: Array, labels: tuple[str, ...], top_k: int | None) -> list[dict[str, Any]]:
    order = np.argsort(-scores, kind="stable")[:top_k]
    values = scores.tolist()
    return [{"label": labels[index], "score": values[index]} for index in order]


TASK = Task(answer, served_by=classifies)
