"""Queue trigger: SQS batches, answered together; results go to the sinks that are configured.

Models are loaded at import, in the init phase: once per environment, from `ARTIFACT_DIR`.
"""

from __future__ import annotations

from typing import Any

from functions.aws import client
from functions.environment import load_environment
from functions.idempotency import NoClaims, TableClaims
from functions.queue.batch import QueueFunction
from functions.redelivery import Redelivery
from functions.sinks import open_sink

environment = load_environment("queue")
_settings = environment.event_settings
function = QueueFunction(
    environment.models,
    open_sink(_settings.results_bucket, _settings.results_prefix, _settings.results_queue_url, _settings.results_dir),
    TableClaims(_settings.idempotency_table, _settings.idempotency_seconds, client("dynamodb"))
    if _settings.idempotency_table
    else NoClaims(),
    environment.metrics,
    environment.settings.max_body_bytes,
    _settings.spare_seconds,
    environment.digests,
    redeliver=Redelivery(),
)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any] | None:
    """Answer one SQS event with its `batchItemFailures`. `context` may be None."""
    return environment.answer(function.handle, event, context)
