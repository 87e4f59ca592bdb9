"""One execution environment of a queue or bucket function: what is loaded once, and what surrounds each invocation."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from functions.aws import renew_connections
from functions.emf import Metrics
from functions.event_settings import EventSettings, read_event_settings
from functions.init_phase import warm_until
from functions.invocation import Invocations
from functions.loads import measure_loads
from functions.logs import log_to_stderr
from functions.models import LoadedModels
from functions.snapstart import Restoration, register
from functions.tracing import Tracing, open_tracing
from layers.runtime.cpu import instruction_set
from layers.runtime.group import open_predictors
from layers.runtime.settings import Settings, read_settings

Handle = Callable[[Any, Any], dict[str, Any] | None]


@dataclass
class Environment:
    """Loaded models and settings. `answer` hands an event on, and writes log, metrics and trace of it."""

    trigger: str
    settings: Settings
    event_settings: EventSettings
    models: LoadedModels
    invocations: Invocations
    tracing: Tracing

    @property
    def metrics(self) -> Metrics:
        """Of the invocation that is going on."""
        return self.invocations.metrics

    def answer(self, handle: Handle, event: Any, context: Any) -> dict[str, Any] | None:
        """What `handle` returns or raises; metrics are written in either case."""
        with self.invocations.one(context):
            before = self._cache_counts()
            try:
                with self.tracing.segment(self.trigger):
                    return handle(event, context)
            finally:
                hits, misses = (after - earlier for after, earlier in zip(self._cache_counts(), before, strict=True))
                # A model that was given up has taken its counts with it.
                self.metrics.add("CacheHits", max(0, hits))
                self.metrics.add("CacheMisses", max(0, misses))
                measure_loads(self.metrics, self.models.predictors)

    @property
    def digests(self) -> dict[str, str]:
        """Of the served models' artifacts, by name."""
        return {name: predictor.manifest.digest for name, predictor in self.models.predictors.items()}

    def _cache_counts(self) -> tuple[int, int]:
        reports = [
            report for predictor in self.models.predictors.values() for report in predictor.cache_reports().values()
        ]
        return sum(report.hits for report in reports), sum(report.misses for report in reports)


def load_environment(trigger: str) -> Environment:
    """Load the model of `ARTIFACT_DIR`; of several, each when it is asked.

    Raises ArtifactError for what is missing or wrong.
    """
    started = perf_counter()
    formatter = log_to_stderr()
    settings, event_settings = read_settings(), read_event_settings()
    predictors = open_predictors(
        settings.artifact_dir,
        warm_until=warm_until(settings.init_seconds),
        budget_bytes=settings.group_bytes,
        **settings.load_options(),
    )
    models = LoadedModels(predictors, settings.max_batch_size)
    init_ms = 1000 * (perf_counter() - started)
    ready = {
        "trigger": trigger,
        "init_ms": round(init_ms, 1),
        "instruction_set": instruction_set(),
        "threads": {name: predictor.threads for name, predictor in predictors.items()},
        "models": {name: predictor.variant.name for name, predictor in predictors.items()},
        "not_warmed": [name for name, predictor in predictors.items() if not predictor.warmed],
    }
    logging.getLogger("hundredfold.environment").info("ready", extra={"fields": ready})
    tracing = open_tracing(event_settings.tracing)
    register(Restoration([renew_connections]))
    invocations = Invocations(Metrics(trigger), formatter, init_ms)
    return Environment(trigger, settings, event_settings, models, invocations, tracing)
