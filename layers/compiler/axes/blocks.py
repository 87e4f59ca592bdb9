"""How many 8-bit weights share a scale, where weights are kept in blocks: fewer are more exact, and slower to read."""

from __future__ import annotations

from collections.abc import Callable

from layers.compiler.operators import Axis

# The block from the one that the form has. A tied table of embeddings and the vocabulary's product read the same.
BLOCKS: Axis[Callable[[int], int]] = Axis(
    "blocks",
    {"planned": lambda planned: planned, "32": lambda _planned: 32, "64": lambda _planned: 64},
)
