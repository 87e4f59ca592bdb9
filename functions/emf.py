"""Metrics as CloudWatch reads them from the log: one JSON line an invocation, in the embedded metric format.

Not Powertools' Metrics: it is the same line, and importing it costs 25 ms of every cold start, which matters to the
HTTPS function most. Namespace and service are those that Powertools' variables name.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from threading import Lock
from typing import Any, Literal, TextIO

Unit = Literal["Count", "Milliseconds", "Bytes"]


class Metrics:
    """Sums up one invocation at a time; dimensions are the service and what triggered it."""

    def __init__(self, trigger: str, stream: TextIO | None = None) -> None:
        self._dimensions = {"service": os.environ.get("POWERTOOLS_SERVICE_NAME") or "hundredfold", "trigger": trigger}
        self._namespace = os.environ.get("POWERTOOLS_METRICS_NAMESPACE") or "Hundredfold"
        self._disabled = os.environ.get("POWERTOOLS_METRICS_DISABLED", "false").lower() in ("1", "true")
        self._stream = stream
        self._lock = Lock()
        self._values: dict[str, float] = {}
        self._units: dict[str, Unit] = {}

    def add(self, name: str, value: float, unit: Unit = "Count") -> None:
        """Add to this invocation's value of a metric."""
        with self._lock:
            self._values[name] = self._values.get(name, 0) + value
            self._units[name] = unit

    def flush(self, properties: Mapping[str, Any]) -> None:
        """Write the line, with properties that can be searched for and make no metric; then begin anew."""
        values, self._values = self._values, {}
        if self._disabled or not values:
            return
        described = [{"Name": name, "Unit": self._units[name]} for name in values]
        directive = {"Namespace": self._namespace, "Dimensions": [[*self._dimensions]], "Metrics": described}
        line = {
            "_aws": {"Timestamp": int(1000 * time.time()), "CloudWatchMetrics": [directive]},
            **self._dimensions,
            **properties,
            **{name: round(value, 3) for name, value in values.items()},
        }
        # CloudWatch reads standard output; on a laptop that is the result's alone.
        stream = self._stream or (sys.stdout if "AWS_LAMBDA_FUNCTION_NAME" in os.environ else sys.stderr)
        print(json.dumps(line), file=stream, flush=True)
