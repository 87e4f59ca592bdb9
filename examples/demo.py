"""`make demo`: build the shipped classifier, then answer HTTPS events through the handler that Lambda would call."""

from __future__ import annotations

import importlib
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
MODEL = "debian-sections"
OUTPUT = ROOT / "build"
HELDOUT = ROOT / "examples/models/debian-sections/heldout.jsonl"
EVENT = ROOT / "examples/events/classify.json"
WARM_REQUESTS = 200


def main() -> None:
    """Run the three acts: build, cold answer, warm answers."""
    heading("1. Build: every candidate is judged on held-out data, the fastest that lost nothing is shipped")
    run([sys.executable, "build_artifacts.py", MODEL, "--output", str(OUTPUT)])

    # The answers are what there is to see; CloudWatch reads the handler's lines of metrics and log.
    os.environ |= {"POWERTOOLS_METRICS_DISABLED": "true", "POWERTOOLS_LOG_LEVEL": "WARNING"}
    heading("2. Cold: a new process, from its start to the handler's answer")
    started = perf_counter()
    answer = run(
        [sys.executable, "-m", "functions.local", MODEL, "--output", str(OUTPUT), "--event", str(EVENT)], capture=True
    )
    elapsed_ms = (perf_counter() - started) * 1e3
    response = json.loads(answer)
    print(f"request:  {json.loads(EVENT.read_text())['body']}")
    print(f"response: {response['statusCode']} {first_labels(response)}")
    print(f"process start to answer: {elapsed_ms:.0f} ms")

    heading(f"3. Warm: {WARM_REQUESTS} different texts through the same handler, event in to response out")
    os.environ["ARTIFACT_DIR"] = str(OUTPUT / MODEL)
    handler = importlib.import_module("functions.https.handler").handler
    for title, texts in (("first time seen", list(heldout())), ("the same texts again", list(heldout()))):
        durations = [timed(handler, event_for(text)) for text in texts]
        cuts = statistics.quantiles(durations, n=100)
        print(f"{title}: p50 {statistics.median(durations):.2f} ms, p99 {cuts[98]:.2f} ms")
    print(f"\nServe it: .venv/bin/python -m functions.local {MODEL}")


def heldout() -> Iterator[str]:
    """Texts the model was not trained on."""
    for line in HELDOUT.read_text(encoding="utf-8").splitlines()[:WARM_REQUESTS]:
        yield json.loads(line)["text"]


def event_for(text: str) -> dict[str, Any]:
    """The example event with another body."""
    event: dict[str, Any] = json.loads(EVENT.read_text(encoding="utf-8"))
    event["body"] = json.dumps({"inputs": text})
    return event


def timed(handler: Any, event: dict[str, Any]) -> float:
    """Milliseconds of one invocation. Raises AssertionError when it was not answered."""
    started = perf_counter()
    response = handler(event, None)
    elapsed_ms = (perf_counter() - started) * 1e3
    if response["statusCode"] != 200:
        raise AssertionError(f"got {response['statusCode']}: {response['body']}")
    return elapsed_ms


def first_labels(response: dict[str, Any]) -> str:
    """The best three labels of the answer."""
    [labels] = json.loads(response["body"])
    return ", ".join(f"{item['label']} {item['score']:.3f}" for item in labels[:3])


def run(command: list[str], *, capture: bool = False) -> str:
    """Run a command of this project from its root; its output goes to the screen unless captured."""
    done = subprocess.run(command, cwd=ROOT, check=True, text=True, stdout=subprocess.PIPE if capture else None)
    return done.stdout or ""


def heading(text: str) -> None:
    """A line above each act."""
    print(f"\n== {text}", flush=True)


if __name__ == "__main__":
    main()
