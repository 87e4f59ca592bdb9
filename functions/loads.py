"""Loads of a group's models, as metrics of the invocation that waited for them."""

from __future__ import annotations

from collections.abc import Mapping

from functions.emf import Metrics
from layers.runtime.group import PredictorGroup
from layers.runtime.predictor import Predictor


def measure_loads(metrics: Metrics, predictors: Mapping[str, Predictor]) -> None:
    """Add what was loaded since the last call; nothing where models are loaded at the start."""
    if isinstance(predictors, PredictorGroup):
        loads, milliseconds = predictors.loads.take()
        if loads:
            metrics.add("ModelLoads", loads)
            metrics.add("ModelLoadLatency", milliseconds, "Milliseconds")
