"""rerank: how well each of several texts answers a query, best first, as Text Embeddings Inference tells it.

Needs a classifier with a single label, which reads query and text as a pair (a cross-encoder).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from layers.artifact import Manifest
from layers.runtime.run import Run
from layers.runtime.tasks.task import Parameters, Task, classifies, read_one_and_many
from layers.runtime.tasks.text_classification import scores_of


class RerankParameters(Parameters):
    """`raw_scores` gives the model's own number instead of its sigmoid, `return_text` each text beside its score."""

    raw_scores: bool = False
    return_text: bool = False


def answer(run: Run, inputs: Any, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    """{"query": str, "texts": [str]} to [{"index", "score"}], best first; "text" is there where it was asked for."""
    options = RerankParameters.read(parameters)
    query, texts = read_one_and_many(inputs, "query", "texts")
    run.admit(len(texts))
    encodings = run.encode([(query, text) for text in texts], **options.truncation_options())
    logits = np.array([outputs["logits"][0] for outputs in run.forward(encodings, ["logits"])])
    scores = scores_of(logits, "none" if options.raw_scores else "sigmoid").tolist()
    ranking = []
    # By the logits: sigmoids of large ones are all 1.
    for index in np.argsort(-logits, kind="stable").tolist():
        text = {"text": texts[index]} if options.return_text else {}
        ranking.append({"index": index, **text, "score": scores[index]})
    return ranking


def ranks(manifest: Manifest) -> bool:
    """Whether the model gives a pair one number."""
    return classifies(manifest) and len(manifest.labels) == 1


TASK = Task(answer, served_by=ranks)
