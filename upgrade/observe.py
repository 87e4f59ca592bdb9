"""What one environment makes of the project; run with its interpreter.

`python -m upgrade.observe FOLDER CATALOGUE [FAMILY]` builds and gates the catalogue's models into FOLDER, runs the
tests of PARITY (those of a family alone, where one is named), reads the API that the project uses, collects the
warnings of all this, and leaves `FOLDER/observed.json`.
"""

from __future__ import annotations

import json
import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest

from layers.catalogue import read_catalogue
from layers.compiler.build import build
from layers.errors import HundredfoldError
from upgrade.environment import LIBRARIES
from upgrade.surface import describe, uses_of
from upgrade.tensors import names_of_families

ROOT = Path(__file__).resolve().parent.parent
OBSERVED = "observed.json"
PARITY = ("test_parity", "test_parity_decoders", "test_parity_seq2seq")


def main(folder: Path, catalogue: Path, family: str = "") -> None:
    """Observe this environment; artifacts stay in `folder` to be timed."""
    folder.mkdir(parents=True, exist_ok=True)
    with _warnings() as warned:
        observed: dict[str, Any] = {
            "models": {name: _built(name, folder, catalogue) for name in read_catalogue(catalogue)},
            "parity": _parity(family),
            "tensors": _timed("tensor names", lambda: names_of_families(family)),
            "api": _timed("API", lambda: describe(uses_of(LIBRARIES))),
        }
    observed["warnings"] = sorted(warned)
    (folder / OBSERVED).write_text(json.dumps(observed, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _built(name: str, folder: Path, catalogue: Path) -> dict[str, Any]:
    spec = read_catalogue(catalogue)[name]
    try:
        built = _timed(f"build {name}", lambda: build(spec, catalogue.parent, folder, "x86_64", lambda _line: None))
    except HundredfoldError as error:
        return {"error": str(error)}
    manifest = built.manifest.model_dump(mode="json")
    return {key: manifest[key] for key in ("chosen", "parity", "variants", "unused_tensors")}


class _Outcomes:
    """A pytest plugin that keeps what became of each test."""

    def __init__(self) -> None:
        self.by_test: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.failed:
            name = report.nodeid.removeprefix("tests/compiler/")
            self.by_test[name] = "passed" if report.passed else _last_line(report.longreprtext)


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.startswith("E ")] or text.splitlines()
    return lines[0].removeprefix("E").strip()[:300] if lines else "failed"


def _parity(family: str) -> dict[str, str]:
    outcomes = _Outcomes()
    paths = [str(ROOT / "tests" / "compiler" / f"{name}.py") for name in PARITY]
    # Without pytest's own collection of warnings, which would keep them from ours.
    options = ["-q", "--no-header", "--no-summary", "-p", "no:warnings", "-p", "no:cacheprovider", f"--rootdir={ROOT}"]
    options += ["-k", family] if family else []
    _timed("parity", lambda: pytest.main([*options, *paths], plugins=[outcomes]))
    return outcomes.by_test


@contextmanager
def _warnings() -> Iterator[set[str]]:
    """Collects deprecations: Python's, and those that transformers writes to its log."""
    found: set[str] = set()

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "deprecat" in record.getMessage():
                found.add(f"{record.name}: {record.getMessage()}"[:300])

    def show(message: Warning | str, category: type[Warning], filename: str, *_rest: Any, **_named: Any) -> None:
        if issubclass(category, DeprecationWarning | PendingDeprecationWarning | FutureWarning):
            place = Path(filename).parts
            found.add(f"{'/'.join(place[-2:])}: {category.__name__}: {message}"[:300])

    listener = Listener()
    logging.getLogger("transformers").addHandler(listener)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.showwarning = show
        try:
            yield found
        finally:
            logging.getLogger("transformers").removeHandler(listener)


def _timed(title: str, work: Callable[[], Any]) -> Any:
    started = perf_counter()
    answer = work()
    print(f"{title}: {perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
    return answer


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
