"""`make bench`, `make bench-full`, `make bench WHAT="encoders events"`: run, keep the JSON, render the page."""

from __future__ import annotations

import importlib
import json
import sys
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

from benchmarks.machine import machine
from benchmarks.page import FAILURES, render
from benchmarks.parts import HEADLINE, ON_REQUEST, REST

RESULTS = Path(__file__).parent / "results"
Say = Callable[..., None]


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
        if not run_part(name, partial(_run, name), RESULTS):
            failed.append(name)
    render(RESULTS)
    said = f"; failed: {', '.join(failed)}" if failed else ""
    print(f"== {len(parts)} parts in {(monotonic() - began) / 60:.1f} minutes{said}", flush=True)
    return 1 if failed else 0


def _run(name: str, say: Say) -> Any:
    return importlib.import_module(f"benchmarks.{name}").run(say)


def run_part(name: str, run: Callable[[Say], Any], results: Path) -> bool:
    """Run a part and keep its results, or keep why it failed; whether it did not fail."""
    began = monotonic()

    def say(*words: object) -> None:
        print(f"{monotonic() - began:5.0f} s", *words, flush=True)

    failures_file = results / FAILURES
    failures = json.loads(failures_file.read_text(encoding="utf-8")) if failures_file.is_file() else {}
    failures.pop(name, None)
    try:
        measured = run(say)
    except Exception as error:
        traceback.print_exc()
        failures[name] = {**machine(), "error": f"{type(error).__name__}: {error}"[:300]}
    else:
        found = {**machine(), "seconds": round(monotonic() - began), "measured": measured}
        (results / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    failures_file.unlink(missing_ok=True)
    if failures:
        failures_file.write_text(json.dumps(failures, indent=1) + "\n", encoding="utf-8")
    say("failed" if name in failures else "done")
    return name not in failures


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
