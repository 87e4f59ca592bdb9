"""Contenders of the latency comparison, in the worker processes of benchmarks/contest.py.

`python -m upgrade.latency NAME FOLDER CATALOGUE MODEL ...` is run by either environment's interpreter on a folder of
artifacts. When it has loaded, it also says which variant answers, and whether each artifact still gives the answers
that its manifest recorded.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.contest import Worker, hold, serve
from functions.check.answers import difference
from layers.catalogue import ModelSpec, read_catalogue
from layers.compiler.examples import load_examples
from layers.runtime.cpu import thread_count
from layers.runtime.generation.engine import GENERATIVE_TASKS
from layers.runtime.predictor import Predictor
from upgrade.environment import Environment

ROUNDS = 10
NEW_TOKENS = 16
# Characters of a text that are sent.
TEXT = 400


@dataclass(frozen=True)
class Latencies:
    """Milliseconds a request by contender and model; golden differences and the variant that answered by the same.

    Errors by contender.
    """

    median_ms: dict[str, dict[str, float]]
    low_ms: dict[str, dict[str, float]]
    high_ms: dict[str, dict[str, float]]
    goldens: dict[str, dict[str, str | None]]
    variants: dict[str, dict[str, str]]
    errors: dict[str, str]


def compare(
    contenders: dict[str, tuple[Environment, Path]],
    catalogue: Path,
    models: list[str],
    say: Callable[..., None],
    rounds: int = ROUNDS,
) -> Latencies:
    """Time every model in every contender, taking turns."""
    threads = thread_count()
    workers = [
        Worker(name, "upgrade.latency", [str(folder), str(catalogue), *models], threads, str(environment.python))
        for name, (environment, folder) in contenders.items()
    ]
    try:
        standings = hold(workers, models, say, rounds)
    finally:
        for worker in workers:
            worker.close()

    def of(attribute: str) -> dict[str, dict[str, float]]:
        return {each.name: {m: getattr(r, attribute) for m, r in each.results.items()} for each in standings}

    goldens = {each.name: each.facts.get("goldens", {}) for each in standings}
    variants = {each.name: each.facts.get("variants", {}) for each in standings}
    errors = {each.name: each.error for each in standings if each.error}
    return Latencies(of("median_ms"), of("low_ms"), of("high_ms"), goldens, variants, errors)


def load(folder: str, catalogue: str, *models: str) -> tuple[Callable[[str], Any], dict[str, Any]]:
    """A contender: answers one text of the model's held-out data a call, never from a cache."""
    predictors = {
        name: Predictor.load(Path(folder) / name, encoding_cache_bytes=0, prefix_cache_bytes=0, lookup_tokens=0)
        for name in models
    }
    specs = read_catalogue(Path(catalogue))
    texts = {name: itertools.cycle(_texts(specs[name], Path(catalogue).parent)) for name in models}
    goldens = {name: _golden_difference(predictor) for name, predictor in predictors.items()}

    def call(model: str) -> Any:
        predictor = predictors[model]
        writes = predictor.manifest.task in GENERATIVE_TASKS
        parameters = {"max_new_tokens": NEW_TOKENS, "min_new_tokens": NEW_TOKENS} if writes else {}
        return predictor.predict(next(texts[model]), parameters)

    return call, {"goldens": goldens, "variants": {name: each.variant.name for name, each in predictors.items()}}


def _golden_difference(predictor: Predictor) -> str | None:
    for golden in predictor.manifest.goldens:
        answer = predictor.predict(golden.inputs, golden.parameters).value
        if found := difference(golden.outputs, json.loads(json.dumps(answer)), golden.tolerance):
            return found
    return None


def _texts(spec: ModelSpec, catalogue_directory: Path) -> list[str]:
    return [example.text[:TEXT] for example in load_examples(spec, catalogue_directory).judged]


if __name__ == "__main__":
    serve(dict.fromkeys(sys.argv[1:2], load), sys.argv[1], sys.argv[2:])
