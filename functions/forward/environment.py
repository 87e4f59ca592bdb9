"""One execution environment of a function before an endpoint: the counterpart of `functions/environment.py`."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from functions.emf import Metrics
from functions.forward.endpoint import Endpoint, open_endpoint
from functions.forward.models import EndpointModels
from functions.forward.settings import ForwardSettings, read_settings
from functions.invocation import Invocations
from functions.logs import log_to_stderr

# SageMaker gives a container 60 s.
WAIT_SECONDS = 65.0


@dataclass
class ForwardEnvironment:
    """Clients and settings. `answer` hands an event on, and writes log and metrics of it."""

    settings: ForwardSettings
    endpoint: Endpoint
    models: EndpointModels
    invocations: Invocations

    @property
    def metrics(self) -> Metrics:
        """Of the invocation that is going on."""
        return self.invocations.metrics

    def answer(self, handle: Callable[[Any, Any], dict[str, Any]], event: Any, context: Any) -> dict[str, Any]:
        """What `handle` returns or raises; metrics are written in either case."""
        with self.invocations.one(context):
            return handle(event, context)


def open_environment(trigger: str, wait_seconds: float = WAIT_SECONDS) -> ForwardEnvironment:
    """Clients are made here, once; nothing is asked yet. Raises ArtifactError for a wrong setting."""
    started = perf_counter()
    formatter = log_to_stderr()
    settings = read_settings(os.environ)
    endpoint = open_endpoint(settings.endpoint, settings.exchange_bucket, wait_seconds)
    models = EndpointModels(endpoint, settings.model, settings.task)
    init_ms = 1000 * (perf_counter() - started)
    ready = {"trigger": trigger, "init_ms": round(init_ms, 1), "endpoint": settings.endpoint}
    logging.getLogger("hundredfold.environment").info("ready", extra={"fields": ready})
    return ForwardEnvironment(settings, endpoint, models, Invocations(Metrics(trigger), formatter, init_ms))
