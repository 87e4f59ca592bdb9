"""The load of `load`, five minutes a loop: whether memory stays where it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks import load

SECONDS = 300.0


def run(say: Callable[..., None]) -> dict[str, Any]:
    """As `load`, for longer."""
    return load.run(say, SECONDS)
