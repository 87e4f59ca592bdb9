"""Process start to first answer: a fresh interpreter runs the HTTPS handler once; with what the time went into.

Beside it the peak of resident memory until then, and the bytes on disk of what each runtime installs.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks import encoder_models
from benchmarks.contest import last_line
from benchmarks.example_artifacts import ROOT, prepare
from benchmarks.process_memory import PEAK, mib
from layers.packaging.requirements import runtime_requirements

RUNS = 5
# How often the peak of a process is read; it may have ended by the time that its answer is.
LOOK_SECONDS = 0.01
EVENT = ROOT / "examples/events/classify.json"
# What a container with torch does in the same place: import, load, answer one text.
TORCH = """
import sys, torch
from transformers import pipeline
torch.set_num_threads(2)
print(pipeline("text-classification", model=sys.argv[1])("Small fast image viewer for the terminal."))
"""
# Import times of the packages the handler needs, one after the other in a fresh process.
IMPORTS = """
import json, time
times = {}
for name in ("numpy", "onnxruntime", "tokenizers", "pydantic", "fastapi", "mangum"):
    started = time.perf_counter(); __import__(name); times[name] = (time.perf_counter() - started) * 1e3
print(json.dumps(times))
"""
# Stages of a load, in the order the engine does them but one after the other.
STAGES = """
import json, sys, time
from pathlib import Path
times = {}
def lap(name, started): times[name] = (time.perf_counter() - started) * 1e3
started = time.perf_counter()
from layers.runtime import engine as runtime
from layers.artifact import Manifest
lap("imports", started); started = time.perf_counter()
directory = Path(sys.argv[1])
loaded = runtime.Engine.load(directory)
lap("verify, session and tokenizer", started); started = time.perf_counter()
loaded.warm_up()
lap("first inference", started)
print(json.dumps(times))
"""


def run(say: Callable[..., None]) -> dict[str, Any]:
    """Alternate the contenders; medians with quartiles, milliseconds. The page cache is warm after the first run."""
    directories = prepare(say)
    encoder_models.prepare(say)
    directories[encoder_models.NAME] = encoder_models.ARTIFACT
    sources = {
        "debian-sections": ROOT / "examples/models/debian-sections",
        encoder_models.NAME: encoder_models.CHECKPOINT,
    }
    commands: dict[str, list[str]] = {}
    for name, directory in directories.items():
        commands[name] = _handler_command(directory)
    for name, source in sources.items():
        commands[f"{name}, torch + transformers pipeline"] = [sys.executable, "-c", TORCH, str(source)]
    answers, errors = in_turns(commands, RUNS)
    # What an image installs: pyproject.toml has it for this project; of the naive deployment, what it imports.
    runtimes = {
        "this project's runtime": runtime_requirements(),
        "torch + transformers, FastAPI": ["torch", "transformers", "fastapi", "uvicorn"],
    }
    totals = {name: _spread([elapsed for elapsed, _ in taken]) for name, taken in answers.items()}
    say({name: spread["median_ms"] for name, spread in totals.items()}, errors)
    return {
        "process start to first answer": totals,
        "errors": errors,
        "peak_mib": {name: round(statistics.median(peak for _, peak in taken)) for name, taken in answers.items()},
        "installed_mib": {name: installed_mib(roots) for name, roots in runtimes.items()},
        "imports": _medians(["-c", IMPORTS]),
        "stages": {name: _medians(["-c", STAGES, str(directory)]) for name, directory in directories.items()},
    }


def _handler_command(directory: Path) -> list[str]:
    options = ["--output", str(directory.parent), "--event", str(EVENT)]
    return [sys.executable, "-m", "functions.local", directory.name, *options]


def in_turns(
    commands: Mapping[str, Sequence[str]], runs: int
) -> tuple[dict[str, list[tuple[float, float]]], dict[str, str]]:
    """What `first_answer` gives of each command in each run, and why a command could not run.

    A run before the first is not in it: it reads from disk what the others find in the page cache.
    """
    answers: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    errors: dict[str, str] = {}
    for turn in range(runs + 1):
        for name, command in commands.items():
            if name in errors:
                continue
            try:
                answer = first_answer(command)
            except RuntimeError as error:
                errors[name] = str(error)
                del answers[name]
                continue
            if turn:
                answers[name].append(answer)
    return answers, errors


def first_answer(command: Sequence[str]) -> tuple[float, float]:
    """Milliseconds until a process writes to standard output, and the most MiB it had resident until then.

    Raises RuntimeError, with the last that it wrote to standard error, when it fails or answers no object and no list.
    """
    # Unbuffered: the answer is not to wait for the interpreter's end.
    environment = {**os.environ, "PYTHONWARNINGS": "ignore", "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}
    with tempfile.TemporaryFile() as complaints:
        started, peak, answered = perf_counter(), 0.0, False
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=complaints, env=environment, cwd=ROOT)
        assert process.stdout is not None
        while not answered:
            answered = bool(select.select([process.stdout], [], [], LOOK_SECONDS)[0])
            elapsed = (perf_counter() - started) * 1e3
            with contextlib.suppress(LookupError):
                peak = max(peak, mib(PEAK, process.pid))
        answer, _ = process.communicate()
        if process.returncode or not answer.startswith((b"{", b"[")):
            raise RuntimeError(f"process ended with status {process.returncode}: {last_line(complaints)}")
    return elapsed, peak


def installed_mib(roots: Sequence[str]) -> int:
    """MiB of the files of what these requirements name and of all that they require, as installed here."""
    from importlib.metadata import PackageNotFoundError, distribution

    from packaging.requirements import Requirement

    waiting, seen, total = [Requirement(root).name for root in roots], set[str](), 0
    while waiting:
        name = waiting.pop().lower().replace("_", "-")
        if name in seen:
            continue
        seen.add(name)
        try:
            found = distribution(name)
        except PackageNotFoundError:
            continue
        paths = (Path(str(file.locate())) for file in found.files or [])
        total += sum(path.stat().st_size for path in paths if path.is_file())
        wanted = (Requirement(line) for line in found.requires or [])
        waiting += [each.name for each in wanted if each.marker is None or each.marker.evaluate({"extra": ""})]
    return round(total / 2**20)


def _medians(arguments: Sequence[str]) -> dict[str, float]:
    samples = []
    for _ in range(RUNS):
        done = subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        samples.append(json.loads(done.stdout.splitlines()[-1]))
    return {name: round(statistics.median(sample[name] for sample in samples), 1) for name in samples[0]}


def _spread(values: Sequence[float]) -> dict[str, float]:
    low, median, high = statistics.quantiles(values, n=4)
    return {"median_ms": round(median), "low_ms": round(low), "high_ms": round(high)}
