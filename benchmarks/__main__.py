"""`make bench`, `make bench-full`, `make bench WHAT="encoders events"`: run, keep the JSON, render the page."""

from __future__ import annotations

import datetime
import importlib
import json
import os
import platform
import subprocess
import sys
import traceback
from pathlib import Path
from time import monotonic
from typing import Any

from benchmarks.page import render

RESULTS = Path(__file__).parent / "results"
# What `make bench` runs, in under 25 minutes on two cores.
HEADLINE = ("ledger", "encoders", "generators", "cold_start", "load")
# What `make bench-full` runs besides.
REST = (
    "prefixes",
    "operators",
    "events",
    "caches",
    "batches",
    "memory",
    "encoders_full",
    "load_full",
)
# Run by name only: an emulator that pip does not install; root and control groups; ten minutes and ten gigabytes;
# a graphics card; an emulator out of a wheel.
ON_REQUEST = ("exactness", "memory_sizes", "builds", "gpu", "endpoint", "functions")


def main(names: list[str]) -> int:
    """Run the named parts, HEADLINE when there are none, all of both with `--full`; then render docs/benchmarks.md.

    A part that fails is said and leaves its last results as they were; the status is then 1.
    """
    parts = (*HEADLINE, *REST) if names == ["--full"] else tuple(names) or HEADLINE
    known = (*HEADLINE, *REST, *ON_REQUEST)
    unknown = sorted(set(parts) - set(known))
    if unknown:
        sys.exit(f"unknown benchmark {unknown[0]!r}; expected {', '.join(known)}")
    RESULTS.mkdir(exist_ok=True)
    began, failed = monotonic(), []
    for number, name in enumerate(parts, 1):
        minutes = (monotonic() - began) / 60
        print(f"== {name}: part {number} of {len(parts)}, {minutes:.1f} minutes so far", flush=True)
        try:
            measured = importlib.import_module(f"benchmarks.{name}").run(lambda *words: print(*words, flush=True))
        except Exception:
            traceback.print_exc()
            failed.append(name)
            continue
        text = json.dumps({**machine(), "measured": measured}, indent=1)
        (RESULTS / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    render(RESULTS)
    said = f"; failed: {', '.join(failed)}" if failed else ""
    print(f"== {len(parts)} parts in {(monotonic() - began) / 60:.1f} minutes{said}", flush=True)
    return 1 if failed else 0


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
    sys.exit(main(sys.argv[1:]))
