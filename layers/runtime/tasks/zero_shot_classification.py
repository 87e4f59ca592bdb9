"""zero-shot-classification: labels that come with the request, each judged as a hypothesis about the text.

Any classifier trained on natural language inference answers it; scores are those of transformers' pipeline, the shape
is the list that the Hub's specification has had since November 2025.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import Formatter
from typing import Any

import numpy as np

from layers.artifact import Manifest
from layers.errors import InputError
from layers.runtime.engine import Array
from layers.runtime.run import Run
from layers.runtime.tasks.task import Parameters, Task, classifies, read_texts
from layers.runtime.tasks.text_classification import scores_of
from layers.wording import shown


class ZeroShotParameters(Parameters):
    """`candidate_labels` may be one string with commas. With `multi_label` each label is judged by itself."""

    candidate_labels: list[str] | str
    hypothesis_template: str = "This example is {}."
    multi_label: bool = False


def answer(run: Run, inputs: Any, parameters: Mapping[str, Any]) -> list[Any]:
    """A list of {"label", "score"} for a text, likeliest first; a list of those for a list."""
    options = ZeroShotParameters.read(parameters)
    texts, is_list = read_texts(inputs)
    labels = _labels(options.candidate_labels)
    run.admit(len(texts) * len(labels))
    hypotheses = [_hypothesis(options.hypothesis_template, label) for label in labels]
    truncation = options.truncation_options()
    if options.truncation in (None, True):
        # The hypothesis is never cut, unless that is asked for.
        truncation["strategy"] = "only_first"
    pairs: list[tuple[str, str | None]] = [(text, hypothesis) for text in texts for hypothesis in hypotheses]
    outputs = run.forward(run.encode(pairs, **truncation), ["logits"])
    logits = np.stack([output["logits"] for output in outputs]).reshape(len(texts), len(labels), -1)
    scores = _scores(logits, run.manifest.labels, each_by_itself=options.multi_label or len(labels) == 1)
    answers = [_ranking(own, labels) for own in scores]
    return answers if is_list else answers[0]


def _labels(candidates: list[str] | str) -> list[str]:
    if isinstance(candidates, str):
        candidates = [label.strip() for label in candidates.split(",") if label.strip()]
    if not candidates:
        raise InputError("parameter 'candidate_labels': got no label, expected at least 1.")
    return candidates


def _hypothesis(template: str, label: str) -> str:
    """The template with the label in it. Only {} and {0} mean something: anything else would read Python objects."""
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        raise InputError(f"parameter 'hypothesis_template': got {shown(template)}: {error}.") from error
    fields = [(name, spec, conversion) for _, name, spec, conversion in parts if name is not None]
    if fields != [("", "", None)] and (not fields or set(fields) != {("0", "", None)}):
        raise InputError(
            f"parameter 'hypothesis_template': got {shown(template)}, expected {{}} once, where the label goes."
        )
    return "".join(text + (label if name is not None else "") for text, name, _, _ in parts)


def _scores(logits: Array, names: Sequence[str], *, each_by_itself: bool) -> Array:
    """Scores [texts, labels] of logits [texts, labels, classes]: against contradiction, or against the other labels."""
    entailment = entailment_index(names)
    if each_by_itself:
        contradiction = -1 if entailment == 0 else 0
        return np.asarray(scores_of(logits[..., [contradiction, entailment]], "softmax")[..., 1])
    return scores_of(logits[..., entailment], "softmax")


def _ranking(scores: Array, labels: Sequence[str]) -> list[dict[str, Any]]:
    values = scores.tolist()
    order = np.argsort(-scores, kind="stable").tolist()
    return [{"label": labels[index], "score": values[index]} for index in order]


def entailment_index(names: Sequence[str]) -> int:
    """The class that says that a hypothesis follows, as the pipeline finds it: -1 where none says so."""
    return next((index for index, name in enumerate(names) if name.lower().startswith("entail")), -1)


def infers(manifest: Manifest) -> bool:
    """Whether the model was trained on natural language inference."""
    return classifies(manifest) and len(manifest.labels) > 1 and entailment_index(manifest.labels) >= 0


TASK = Task(answer, served_by=infers)
