"""What each cache saves: the same requests answered with it and without it, turn by turn in one process."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterator, Mapping
from itertools import cycle
from pathlib import Path
from time import perf_counter
from typing import Any

from mangum import Mangum

from benchmarks.example_artifacts import ROOT, prepare_example
from layers.runtime.predictor import Predictor
from layers.runtime.request import NO_PARAMETERS
from layers.runtime.settings import Settings
from layers.serving.application import create_app

EXAMPLES = ("debian-sections", "debian-writer", "debian-summarizer")
EVENT = ROOT / "examples/events/classify.json"
TEXTS = 50
# Characters; so that every example reads all of every text.
LONGEST = 500
ROUNDS = {"debian-sections": 400, "debian-writer": 60, "debian-summarizer": 60}
# Before anything is counted every text has been asked once, so that a hit is one.
WARM_ROUNDS = TEXTS
NEW_TOKENS = 24
# A prompt as assistants have it: long instructions that all requests share, and a question that only one has.
SHARED_TOKENS = (128, 384)

Call = Callable[[], Any]


def run(say: Callable[..., None]) -> dict[str, Any]:
    """Milliseconds with and without each cache, by case."""
    directories = {name: prepare_example(name, say) for name in EXAMPLES}
    measured: dict[str, Any] = {}
    cases = {**_encodings(directories), **_prefixes(directories), **_responses(directories)}
    for title, (name, contenders) in cases.items():
        measured[title] = _take_turns(contenders, ROUNDS[name])
        say(title, {contender: result["median_ms"] for contender, result in measured[title].items()})
    return {"threads": 1, "cases": measured}


def _encodings(directories: Mapping[str, Path]) -> dict[str, tuple[str, dict[str, Call]]]:
    name = "debian-sections"
    kept, bare = (Predictor.load(directories[name], threads=1, encoding_cache_bytes=size) for size in (16 * 2**20, 0))
    cases: dict[str, tuple[str, dict[str, Call]]] = {}
    for title, texts in {"a sentence": _texts(), "longest texts": _longest(kept)}.items():
        for predictor in (kept, bare):
            for text in texts:
                predictor.predict(text)
        cases[f"encodings: {name}, {title}"] = name, {"without": _over(bare, texts), "with": _over(kept, texts)}
    return cases


def _prefixes(directories: Mapping[str, Path]) -> dict[str, tuple[str, dict[str, Call]]]:
    name = "debian-writer"
    kept, bare = (Predictor.load(directories[name], threads=1, prefix_cache_bytes=size) for size in (2**28, 0))
    words = " ".join(_texts()).split()
    cases: dict[str, tuple[str, dict[str, Call]]] = {}
    for tokens in SHARED_TOKENS:
        shared = " ".join(words[: tokens // 2])
        for word in words[tokens // 2 :]:
            if len(kept.engine.tokenizer.encode_uncached(shared)) >= tokens:
                break
            shared += f" {word}"
        prompts = [f"{shared} {text[:40]}" for text in _texts()]
        one = {"max_new_tokens": 1}
        cases[f"prefixes: {name}, first token after {tokens} shared tokens"] = (
            name,
            {"without": _over(bare, prompts, one), "with": _over(kept, prompts, one)},
        )
    return cases


def _responses(directories: Mapping[str, Path]) -> dict[str, tuple[str, dict[str, Call]]]:
    """Whole events: computed, answered from the cache, and the first time, when the answer is looked for and kept."""
    cases: dict[str, tuple[str, dict[str, Call]]] = {}
    for name, directory in directories.items():
        predictor = Predictor.load(directory, threads=1)
        adapter = Mangum(create_app({name: predictor}, Settings(artifact_dir=directory)), lifespan="off")
        texts = _texts()
        parameters = {} if name == "debian-sections" else {"max_new_tokens": NEW_TOKENS}
        fresh, others = (_unseen(texts, word) for word in ("one", "two"))
        for text in texts:
            _ask(adapter, text, parameters, use_cache=True)
        cases[f"responses: {name}"] = (
            name,
            {
                "without": _asking(adapter, cycle(texts), parameters, use_cache=False),
                "with": _asking(adapter, cycle(texts), parameters, use_cache=True),
            },
        )
        cases[f"a miss: {name}"] = (
            name,
            {
                "without": _asking(adapter, fresh, parameters, use_cache=False),
                "with": _asking(adapter, others, parameters, use_cache=True),
            },
        )
    return cases


def _asking(adapter: Mangum, texts: Iterator[str], parameters: Mapping[str, Any], *, use_cache: bool) -> Call:
    return lambda: _ask(adapter, next(texts), parameters, use_cache=use_cache)


def _unseen(texts: list[str], word: str) -> Iterator[str]:
    """The same texts with an ending that never comes again."""
    return (f"{text} {word} {number}" for number, text in enumerate(cycle(texts)))


def _texts() -> list[str]:
    lines = (ROOT / "examples/models/debian-sections/heldout.jsonl").read_text(encoding="utf-8").splitlines()
    return [text for text in (json.loads(line)["text"] for line in lines) if len(text) <= LONGEST][:TEXTS]


def _longest(predictor: Predictor) -> list[str]:
    """Texts that fill the model."""
    everything = " ".join(_texts())
    size = 6 * predictor.manifest.limits.max_tokens
    return [everything[start : start + size] for start in range(0, 10 * 200, 200)]


def _over(predictor: Predictor, texts: list[str], parameters: Mapping[str, Any] = NO_PARAMETERS) -> Call:
    turns = cycle(texts)
    return lambda: predictor.predict(next(turns), parameters)


def _ask(adapter: Mangum, text: str, parameters: Mapping[str, Any], *, use_cache: bool) -> None:
    event = json.loads(EVENT.read_text(encoding="utf-8"))
    event["body"] = json.dumps({"inputs": text, "parameters": parameters, "options": {"use_cache": use_cache}})
    answer = adapter(event, None)
    if answer["statusCode"] != 200:
        raise RuntimeError(answer["body"])


def _take_turns(contenders: Mapping[str, Call], rounds: int) -> dict[str, dict[str, float]]:
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + WARM_ROUNDS):
        for name, call in contenders.items():
            started = perf_counter()
            call()
            if number >= WARM_ROUNDS:
                times[name].append(1000 * (perf_counter() - started))
    results = {}
    for name, taken in times.items():
        low, median, high = statistics.quantiles(taken, n=4)
        results[name] = {"median_ms": round(median, 4), "low_ms": round(low, 4), "high_ms": round(high, 4)}
    return results
