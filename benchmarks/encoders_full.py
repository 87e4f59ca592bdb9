"""The whole matrix of `encoders`: 8 to 384 tokens, 1, 8 and 32 texts at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks import encoders

CASES = tuple(f"{texts} x {tokens}" for texts in (1, 8, 32) for tokens in (8, 32, 128, 384))


def run(say: Callable[..., None]) -> dict[str, Any]:
    """As `encoders`, with every case."""
    return encoders.run(say, CASES)
