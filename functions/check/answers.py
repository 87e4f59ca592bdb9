"""Whether two answers are the same, within a tolerance for numbers. The standard library alone."""

from __future__ import annotations

import math
from typing import Any

# An answer may be a long list of vectors; a message shows where it first differs, not all of it.
SHOWN = 120


def difference(expected: Any, answered: Any, tolerance: float, place: str = "answer") -> str | None:
    """Where `answered` first departs from `expected`, or None.

    Numbers may differ by `tolerance`. Records that carry a score are compared by label, because two labels
    whose scores are that close may change places.
    """
    if isinstance(expected, bool) or not isinstance(expected, int | float):
        if isinstance(expected, dict) and isinstance(answered, dict):
            return _first(expected, answered, tolerance, place)
        if isinstance(expected, list) and isinstance(answered, list):
            return _of_lists(expected, answered, tolerance, place)
        return None if expected == answered else _differs(place, expected, answered)
    if isinstance(answered, bool) or not isinstance(answered, int | float) or not math.isfinite(answered):
        return _differs(place, expected, answered)
    return None if abs(expected - answered) <= tolerance else _differs(place, expected, answered)


def _of_lists(expected: list[Any], answered: list[Any], tolerance: float, place: str) -> str | None:
    wanted, given = _by_label(expected), _by_label(answered)
    if wanted is not None and given is not None:
        # The last of the best few may give way to one that scores the same; the best may not.
        shared = [label for label in wanted if label in given]
        missing = [label for label in wanted if label not in given]
        lowest, highest = min(wanted.values()), max(wanted.values())
        for label in missing:
            if wanted[label] == highest or wanted[label] - lowest > tolerance:
                return f"{place}: no label {label!r}"
        return _first({label: wanted[label] for label in shared}, given, tolerance, place)
    if len(expected) != len(answered):
        return f"{place}: expected {len(expected)} items, got {len(answered)}"
    numbered = dict(enumerate(expected)), dict(enumerate(answered))
    return _first(*numbered, tolerance, place)


def _by_label(items: list[Any]) -> dict[str, float] | None:
    if items and all(isinstance(item, dict) and set(item) == {"label", "score"} for item in items):
        return {item["label"]: item["score"] for item in items}
    return None


def _first(expected: dict[Any, Any], answered: dict[Any, Any], tolerance: float, place: str) -> str | None:
    for key, value in expected.items():
        if key not in answered:
            return f"{place}[{key!r}]: missing"
        found = difference(value, answered[key], tolerance, f"{place}[{key!r}]")
        if found:
            return found
    return None


def _differs(place: str, expected: Any, answered: Any) -> str:
    return f"{place}: expected {str(expected)[:SHOWN]}, got {str(answered)[:SHOWN]}"
