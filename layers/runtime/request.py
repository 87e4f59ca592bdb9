"""What a predictor is asked for. The standard library alone: functions that hold no model read requests too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

NO_PARAMETERS: Mapping[str, Any] = MappingProxyType({})
# Threads of a group of requests; an environment of Lambda has 1,024 for everything.
MAX_TOGETHER = 64


@dataclass(frozen=True, slots=True)
class Request:
    """What `Predictor.predict` is asked."""

    inputs: Any
    parameters: Mapping[str, Any] = field(default_factory=lambda: NO_PARAMETERS)
    task: str | None = None
