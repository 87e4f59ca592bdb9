"""What surrounds each invocation, whatever answers it: log lines that name it, and one line of metrics."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from functions.emf import Metrics
from functions.logs import JsonFormatter


@dataclass
class Invocations:
    """Those of one execution environment. `init_ms` is what its first one waited for."""

    metrics: Metrics
    formatter: JsonFormatter
    init_ms: float
    cold: bool = True

    @contextmanager
    def one(self, context: Any) -> Iterator[None]:
        """A context that one invocation happens in; its metrics are written in any case. `context` may be None."""
        request_id = getattr(context, "aws_request_id", None)
        self.formatter.request_id = request_id
        started = perf_counter()
        try:
            yield
        except Exception:
            self.metrics.add("Errors", 1)
            raise
        finally:
            self.metrics.add("HandlerLatency", 1000 * (perf_counter() - started), "Milliseconds")
            if self.cold:
                self.metrics.add("ColdStart", 1)
                self.metrics.add("InitDuration", self.init_ms, "Milliseconds")
            self.cold = False
            self.metrics.flush({"function_request_id": request_id} if request_id else {})
