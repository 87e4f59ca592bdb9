"""The loop of `load` against the local server, five minutes each: whether memory stays where it is.

The torch deployments are not in it: what they are slower by does not take minutes to see.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks import load

SECONDS = 300.0
SERVERS = (load.OURS,)


def run(say: Callable[..., None]) -> dict[str, Any]:
    """As `load`, for longer."""
    return load.run(say, SECONDS, SERVERS)


def section(measured: dict[str, Any]) -> str:
    """For docs/benchmarks.md."""
    return load.section(measured, "Load, five minutes a loop", SERVERS)
