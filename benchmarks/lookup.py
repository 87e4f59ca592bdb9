"""Texts of the examples that write, with tokens guessed from what stood before and without: the same tokens, sooner.

The examples are trained and their held-out texts are real: how often a text repeats itself is what is measured, and
random weights would say nothing of it.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import islice
from time import perf_counter
from typing import Any

from benchmarks.example_artifacts import ROOT, prepare_example
from layers.runtime.generation.engine import GenerationEngine
from layers.runtime.generation.load_options import DEFAULT_LOOKUP_TOKENS
from layers.runtime.predictor import Predictor

THREADS = 2
TEXTS = 40
# Of each text by each contender; a text's time is their median.
ROUNDS = 7
# A prompt of a writer; what it goes on with is as long as the request allows.
PROMPT_WORDS = 40
NEW_TOKENS = {"debian-writer": 128, "debian-summarizer": 64}
MODES: dict[str, dict[str, Any]] = {
    "greedy": {"do_sample": False},
    "drawn at temperature 0.7": {"do_sample": True, "temperature": 0.7, "seed": 1},
    "drawn at temperature 1": {"do_sample": True, "temperature": 1.0, "seed": 1},
}


def run(say: Callable[..., None]) -> dict[str, Any]:
    """Each example in each mode: ratios of times by text, and of all texts together."""
    cases: dict[str, Any] = {}
    for name in NEW_TOKENS:
        artifact = prepare_example(name, say)
        alone, ahead = (
            Predictor.load(artifact, threads=THREADS, prefix_cache_bytes=0, lookup_tokens=most)
            for most in (0, DEFAULT_LOOKUP_TOKENS)
        )
        for mode, parameters in MODES.items():
            case = f"{name}, {mode}"
            cases[case] = _compare(alone, ahead, _texts(name), {"max_new_tokens": NEW_TOKENS[name], **parameters})
            say(case, cases[case])
    return {"threads": THREADS, "cases": cases}


def section(measured: dict[str, Any]) -> str:
    """The part of docs/benchmarks.md."""
    lines = [
        "## Guessing what a text repeats",
        "",
        f"The examples that write, over {TEXTS} held-out texts: the time of a text without guesses over its time with "
        f"them, each the median of {ROUNDS}, taking turns in one process "
        "([architecture.md](architecture.md#writing-text)). `in a run` is how many tokens a run of the decoder gave. A "
        "text that is another one met two tokens of nearly equal scores, which several rows in a product round "
        "otherwise.",
        "",
        "| | times as fast: median [quartiles] | slowest and fastest text | all texts together | in a run | guesses "
        "that were right | same texts |",
        "|---|---|---|---|---|---|---|",
    ]
    for case, found in measured["cases"].items():
        low, median, high = (f"{found['ratio'][key]:.2f}" for key in ("low", "median", "high"))
        worst, best = (f"{found['ratio'][key]:.2f}" for key in ("least", "most"))
        right = found["accepted_tokens"] / found["drafted_tokens"] if found["drafted_tokens"] else 0.0
        lines.append(
            f"| {case} (`{found['variant']}`) | {median} [{low} to {high}] | {worst}, {best} | {found['whole']:.2f} | "
            f"{found['tokens_a_run']:.2f} | {right:.0%} | {found['same']} of {found['texts']} |"
        )
    return "\n".join(lines)


def _compare(alone: Predictor, ahead: Predictor, texts: Sequence[str], parameters: dict[str, Any]) -> dict[str, Any]:
    """Both write every text some times, taking turns at being first."""
    assert isinstance(ahead.engine, GenerationEngine)
    before, took, same = ahead.engine.lookup_report(), [], 0
    for text in texts:
        seconds: dict[bool, list[float]] = {True: [], False: []}
        written: dict[bool, str] = {}
        for number in range(ROUNDS):
            for guesses in (number % 2 == 0, number % 2 == 1):
                spent, written[guesses] = _timed(ahead if guesses else alone, text, parameters)
                seconds[guesses].append(spent)
        took.append((statistics.median(seconds[False]), statistics.median(seconds[True])))
        same += written[False] == written[True]
    after = ahead.engine.lookup_report()
    if before is None or after is None:
        raise RuntimeError(f"{ahead.manifest.name}: {ahead.variant.name} computes one text a call and guesses nothing")
    counts = {name: count - asdict(before)[name] for name, count in asdict(after).items()}
    ratios = [without / with_guesses for without, with_guesses in took]
    low, median, high = statistics.quantiles(ratios, n=4)
    return {
        "variant": ahead.variant.name,
        "texts": len(took),
        "same": same,
        "ratio": {"low": low, "median": median, "high": high, "least": min(ratios), "most": max(ratios)},
        "whole": sum(without for without, _ in took) / sum(with_guesses for _, with_guesses in took),
        "tokens_a_run": 1 + counts["accepted_tokens"] / counts["runs"],
        **counts,
    }


def _timed(predictor: Predictor, text: str, parameters: dict[str, Any]) -> tuple[float, str]:
    """Seconds of a request, and what was written."""
    started = perf_counter()
    [answer] = predictor.predict(text, parameters).value
    return perf_counter() - started, next(iter(answer.values()))


def _texts(name: str) -> list[str]:
    with (ROOT / "examples/models" / name / "heldout.jsonl").open(encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in islice(lines, TEXTS)]
    return [" ".join(text.split()[:PROMPT_WORDS]) for text in texts] if name == "debian-writer" else texts
