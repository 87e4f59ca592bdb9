"""Tables of docs/benchmarks.md: figures with their spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def contest(measured: dict[str, Any], unit: str) -> str:
    """Standings: a row a contender, a column a case. An error stands in the first case that it kept away."""
    cases = measured["cases"]
    lines = [header(unit, cases)]
    for standing in measured["standings"]:
        cells = [cell(standing["results"].get(case)) for case in cases]
        if standing["error"]:
            cells[cells.index("") if "" in cells else -1] = f"could not run: {standing['error']}"
        lines.append(f"| {standing['name']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def header(first: str, cases: Sequence[str]) -> str:
    """The first two lines of a table."""
    return f"| {first} | " + " | ".join(cases) + " |\n|" + "---|" * (len(cases) + 1)


def cell(result: Mapping[str, float] | None) -> str:
    """A median with its quartiles; nothing where nothing was run."""
    if result is None:
        return ""
    digits = 3 if result["median_ms"] < 1 else 2
    median, low, high = (f"{result[key]:.{digits}f}" for key in ("median_ms", "low_ms", "high_ms"))
    return f"{median} [{low} to {high}]"
