"""A 2,000-token document asked about twice: the first token with and without the keys and values of the first time.

The shape is Llama's with 12 layers of 768, 12 heads and 4 of keys and values, and room for 4,096 tokens; in fp32, since
the gate found every int8 variant of these random weights to depend on how a prompt is cut, and those reuse nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import count
from typing import Any

import numpy as np

from benchmarks import generator_models as models
from benchmarks.contest import hold_between, serve
from benchmarks.example_artifacts import WORK
from benchmarks.tables import contest

THREADS = 2
ARTIFACT = WORK / "artifacts-fp32" / "llama"
DOCUMENT, QUESTION = 2000, 24
CASES = (f"{DOCUMENT} + {QUESTION}",)
WITHOUT, WITH = "hundredfold, whole prompt", "hundredfold, document kept"
Loaded = tuple[Callable[[str], Any], dict[str, Any]]


def hundredfold(prefix_cache_bytes: int) -> Loaded:
    """The first token after the document and another question each time; the document has been read once before."""
    from layers.runtime.generation.continuation import Prompt
    from layers.runtime.generation.engine import GenerationEngine
    from layers.runtime.generation.options import DecodingOptions

    engine = GenerationEngine.load(ARTIFACT, threads=THREADS, prefix_cache_bytes=prefix_cache_bytes, lookup_tokens=0)
    random = np.random.default_rng(0)
    document = random.integers(10, 8000, size=DOCUMENT)
    options = DecodingOptions(max_new_tokens=1)
    questions = count(1)

    def ask(_case: str) -> int:
        question = np.random.default_rng(next(questions)).integers(10, 8000, size=QUESTION)
        prompt = Prompt(np.concatenate([document, question]))
        return engine.generate([prompt], [options])[0][0].events[0].token

    ask("")
    return ask, {"variant": engine.variant.name}


CONTENDERS: dict[str, Callable[[], Loaded]] = {
    WITHOUT: lambda: hundredfold(0),
    WITH: lambda: hundredfold(512 * 2**20),
}


def run(say: Callable[..., None]) -> dict[str, Any]:
    """Prepare, hold the contest, give its standings."""
    models.prepare("llama", say, peers=False, precision="fp32")
    return hold_between(CONTENDERS, __name__, CASES, THREADS, say, rounds=8)


def section(measured: dict[str, Any]) -> str:
    """For docs/benchmarks.md."""
    [case] = measured["cases"]
    medians = {s["name"]: s["results"][case]["median_ms"] for s in measured["standings"] if case in s["results"]}
    lines = ["## A document asked about twice", "", contest(measured, "tokens of document + question")]
    if len(medians) == len(CONTENDERS):
        ratio = medians[WITHOUT] / medians[WITH]
        lines += ["", f"The first token comes {ratio:.0f} times as soon where the document's keys and values are kept."]
    lines += ["", "A Llama shape of 12 layers of 768, random weights, fp32; time to the first token."]
    return "\n".join(lines)


if __name__ == "__main__":
    serve(CONTENDERS, sys.argv[1], sys.argv[2:])
