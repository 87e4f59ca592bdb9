"""How many tokens one run of a graph should hold on a processor: the same texts, cut into runs of different sizes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np

from benchmarks import encoder_models, example_artifacts
from benchmarks.contest import hold_between, serve
from benchmarks.encoders import sizes
from benchmarks.tables import contest

ARTIFACTS = example_artifacts.ARTIFACTS
MODELS = (encoder_models.NAME, "minilm", "debian-sections")
CASES = tuple(f"{model} {shape}" for model in MODELS for shape in ("32 x 32", "32 x 128", "8 x 256"))
RUN_TOKENS = (512, 1024, 2048, 4096)
THREADS = 2
ROUNDS = 6
# Every one of the three vocabularies has these ids.
IDS = (100, 2000)


def run(say: Callable[..., None]) -> dict[str, Any]:
    """The contest; its contenders are the sizes."""
    encoder_models.prepare(say)
    example_artifacts.prepare(say)
    return hold_between(CONTENDERS, __name__, CASES, THREADS, say, ROUNDS)


def _engines(tokens: int) -> tuple[Callable[[str], Any], dict[str, Any]]:
    from layers.runtime.alignment import Encoding
    from layers.runtime.engine import Engine

    found = {
        name: Engine.load(ARTIFACTS / name, threads=THREADS, alone=False, max_batch_tokens=tokens) for name in MODELS
    }

    @cache
    def encodings(case: str) -> list[Encoding]:
        rows = np.random.default_rng(0).integers(*IDS, sizes(case.split(" ", 1)[1]), np.int64)
        return [Encoding(row, np.zeros_like(row), 0) for row in rows]

    variants = {name: engine.variant.name for name, engine in found.items()}
    return lambda case: found[case.split(" ", 1)[0]].forward(encodings(case)), variants


def section(measured: dict[str, Any]) -> str:
    """For docs/benchmarks.md."""
    return "\n".join(
        [
            "## Tokens of a run",
            "",
            "The same texts in runs of at most so many tokens: what a layer hands on to the next fits the cache. "
            "`HUNDREDFOLD_MAX_BATCH_TOKENS` is 1,024 where a model reads on a processor.",
            "",
            contest(measured, "tokens of a run"),
        ]
    )


CONTENDERS = {f"{tokens:,}": partial(_engines, tokens) for tokens in RUN_TOKENS}


if __name__ == "__main__":
    serve(CONTENDERS, sys.argv[1], sys.argv[2:])
