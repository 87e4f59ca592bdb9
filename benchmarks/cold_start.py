"""Process start to first answer: a fresh interpreter runs the HTTPS handler once; with what the time went into.

Beside it the peak of resident memory, and the bytes on disk of what each runtime installs.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks import encoder_models
from benchmarks.example_artifacts import ROOT, prepare
from layers.packaging.requirements import runtime_requirements

RUNS = 7
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
    times: dict[str, list[float]] = {name: [] for name in commands}
    peaks: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(RUNS + 1):
        for name, command in commands.items():
            elapsed, peak_mib = _timed(command)
            if turn:
                times[name].append(elapsed)
                peaks[name].append(peak_mib)
    # What an image installs: pyproject.toml has it for this project; of the naive deployment, what it imports.
    runtimes = {
        "this project's runtime": runtime_requirements(),
        "torch + transformers, FastAPI": ["torch", "transformers", "fastapi", "uvicorn"],
    }
    totals = {name: _spread(values) for name, values in times.items()}
    say({name: spread["median_ms"] for name, spread in totals.items()})
    return {
        "process start to first answer": totals,
        "peak_mib": {name: round(statistics.median(values)) for name, values in peaks.items()},
        "installed_mib": {name: installed_mib(roots) for name, roots in runtimes.items()},
        "imports": _medians(["-c", IMPORTS]),
        "stages": {name: _medians(["-c", STAGES, str(directory)]) for name, directory in directories.items()},
    }


def _handler_command(directory: Path) -> list[str]:
    options = ["--output", str(directory.parent), "--event", str(EVENT)]
    return [sys.executable, "-m", "functions.local", directory.name, *options]


def _timed(command: Sequence[str]) -> tuple[float, float]:
    """Milliseconds, and MiB resident at the peak."""
    environment = {**os.environ, "PYTHONWARNINGS": "ignore", "HF_HUB_OFFLINE": "1"}
    started = perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment, cwd=ROOT)
    _, status, used = os.wait4(process.pid, 0)
    elapsed = (perf_counter() - started) * 1e3
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)}: ended with status {process.returncode}")
    return elapsed, used.ru_maxrss / 1024


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
