"""`make bench` (all) or `python -m benchmarks encoders events`: run, keep the JSON, render the page."""

from __future__ import annotations

import datetime
import importlib
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.page import render

RESULTS = Path(__file__).parent / "results"
PARTS = (
    "ledger",
    "encoders",
    "generators",
    "prefixes",
    "operators",
    "events",
    "caches",
    "batches",
    "cold_start",
    "memory",
)
# Run by name only: an emulator that pip does not install; root and control groups; ten minutes and ten gigabytes;
# a graphics card; an emulator out of a wheel.
ON_REQUEST = ("exactness", "memory_sizes", "builds", "gpu", "endpoint", "functions")


def main(names: list[str]) -> None:
    """Run the named parts, or PARTS; then render docs/benchmarks.md from every result there is."""
    known = (*PARTS, *ON_REQUEST)
    unknown = sorted(set(names) - set(known))
    if unknown:
        sys.exit(f"unknown benchmark {unknown[0]!r}; expected {', '.join(known)}")
    RESULTS.mkdir(exist_ok=True)
    for name in names or PARTS:
        print(f"== {name}", flush=True)
        measured = importlib.import_module(f"benchmarks.{name}").run(lambda *words: print(*words, flush=True))
        text = json.dumps({**machine(), "measured": measured}, indent=1)
        (RESULTS / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    render(RESULTS)


def machine() -> dict[str, Any]:
    """What the figures depend on: processor, cores, versions, commit, date."""
    from importlib.metadata import version

    info = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    model = next((line.split(":", 1)[1].strip() for line in info.splitlines() if line.startswith("model name")), "")
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "processor": model or platform.processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("onnxruntime", "torch", "transformers", "tokenizers")},
        "commit": commit.stdout.strip(),
    }


if __name__ == "__main__":
    main(sys.argv[1:])
