"""What the functions write in the embedded metric format, as far as the dashboard shows it.

A test compares these names with the lines that the functions write.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from layers.catalogue import Trigger

NAMESPACE = "Hundredfold"
COLD_START = "ColdStart"
STAGES: Mapping[Trigger, tuple[str, ...]] = MappingProxyType(
    {
        "https": ("TokenizationLatency", "InferenceLatency", "PostprocessingLatency"),
        "queue": ("TokenizationLatency", "InferenceLatency", "PostprocessingLatency"),
        # Its parts keep no more of a row's time.
        "bucket": ("InferenceLatency",),
    }
)
