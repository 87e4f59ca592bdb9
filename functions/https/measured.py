"""What an answer adds to the metrics, read off its headers: the application knows no CloudWatch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from functions.emf import Metrics, Unit

METRICS: dict[str, tuple[str, Unit]] = {
    "x-cold-start": ("ColdStart", "Count"),
    "x-init-time": ("InitDuration", "Milliseconds"),
    "x-tokenization-time": ("TokenizationLatency", "Milliseconds"),
    "x-inference-time": ("InferenceLatency", "Milliseconds"),
    "x-queue-time": ("QueueLatency", "Milliseconds"),
    "x-compute-texts": ("BatchSize", "Count"),
    "x-compute-tokens": ("Tokens", "Count"),
    "x-generated-tokens": ("GeneratedTokens", "Count"),
}


def measure(metrics: Metrics, answer: Mapping[str, Any], milliseconds: float) -> None:
    """Add an invocation's answer, and the time it took in all; what is no answer of a model counts as such."""
    metrics.add("HandlerLatency", milliseconds, "Milliseconds")
    status = int(answer["statusCode"])
    metrics.add("Refused", 400 <= status < 500)
    metrics.add("Errors", status >= 500)
    several = answer.get("multiValueHeaders") or {}
    headers = answer.get("headers") or {name: values[-1] for name, values in several.items()}
    for header, (name, unit) in METRICS.items():
        if header in headers:
            metrics.add(name, float(headers[header]), unit)
    if "x-compute-time" in headers:
        before = float(headers["x-tokenization-time"]) + float(headers["x-inference-time"])
        metrics.add("PostprocessingLatency", max(0.0, float(headers["x-compute-time"]) - before), "Milliseconds")
    metrics.add("CacheHits", headers.get("x-cache") == "hit")
