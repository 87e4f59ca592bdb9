"""Event in to response out through the HTTPS handler, on held-out texts: p50, p99, and where the time goes."""

from __future__ import annotations

import importlib
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.example_artifacts import ROOT, SECTIONS, prepare

TEXTS = 300
PASSES = 3
EVENT = ROOT / "examples/events/classify.json"
STAGES = {"tokenization": "x-tokenization-time", "inference": "x-inference-time"}


def run(say: Callable[..., None]) -> dict[str, Any]:
    """Each model in a process of its own: first every text once, then the same texts again (encodings cached)."""
    measured = {}
    for name, directory in prepare(say).items():
        command = [sys.executable, "-m", __name__, str(directory)]
        done = subprocess.run(
            command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT
        )
        measured[name] = json.loads(done.stdout.splitlines()[-1])
        say(name, {key: value["p50_ms"] for key, value in measured[name].items()})
    return measured


def measure(directory: Path) -> dict[str, Any]:
    """Times of fresh and repeated texts, in milliseconds."""
    os.environ["ARTIFACT_DIR"] = str(directory)
    handler = importlib.import_module("functions.https.handler").handler
    lines = (SECTIONS / "heldout.jsonl").read_text(encoding="utf-8").splitlines()[: TEXTS * PASSES]
    texts = [json.loads(line)["text"] for line in lines]
    for text in texts[:20]:
        _invoke(handler, text + " warm")
    fresh = [_invoke(handler, text) for text in texts[:TEXTS]]
    repeated = [_invoke(handler, text) for _ in range(PASSES) for text in texts[:TEXTS]]
    return {"first time": _summary(fresh), "again (encodings cached)": _summary(repeated)}


def _invoke(handler: Any, text: str) -> dict[str, float]:
    event = json.loads(EVENT.read_text(encoding="utf-8"))
    # Whole answers are not cached here: what is measured again is the work behind a cached encoding.
    event["body"] = json.dumps({"inputs": text, "options": {"use_cache": False}})
    started = perf_counter()
    response = handler(event, None)
    total = (perf_counter() - started) * 1e3
    if response["statusCode"] != 200:
        raise RuntimeError(response["body"])
    headers = {key.lower(): value for key, value in response["headers"].items()}
    stages = {stage: float(headers[header]) for stage, header in STAGES.items()}
    return {"total": total, **stages, "http and the rest": total - sum(stages.values())}


def _summary(samples: list[dict[str, float]]) -> dict[str, Any]:
    totals = [sample["total"] for sample in samples]
    cuts = statistics.quantiles(totals, n=100)
    medians = {stage: statistics.median(sample[stage] for sample in samples) for stage in samples[0]}
    return {
        "p50_ms": round(cuts[49], 3),
        "p99_ms": round(cuts[98], 3),
        "median_ms_by_stage": {stage: round(value, 3) for stage, value in medians.items() if stage != "total"},
        "events": len(samples),
    }


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]))))
