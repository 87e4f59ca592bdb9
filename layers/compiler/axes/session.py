"""What a graph runs with: how many threads, and whether they wait for more work awake."""

from __future__ import annotations

from layers.compiler.operators import Axis

# At most so many; None is what the share of the processor allows.
THREADS: Axis[int | None] = Axis("threads", {"all": None, "one": 1}, quick=frozenset({"one"}))
SPINNING: Axis[bool] = Axis("spinning", {"on": True, "off": False})
