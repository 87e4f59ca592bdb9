"""Queue trigger before an endpoint: the queue function as it is, over a model that is asked by network.

Clients are made at import, in the init phase, from the environment (`settings.py`).
"""

from __future__ import annotations

from typing import Any

from functions.aws import client
from functions.forward.claims import ItemClaims
from functions.forward.environment import open_environment
from functions.idempotency import NoClaims
from functions.queue.batch import QueueFunction
from functions.redelivery import Redelivery
from functions.sinks import open_sink

environment = open_environment("queue")
_settings = environment.settings
function = QueueFunction(
    environment.models,
    open_sink(_settings.results_bucket, _settings.results_prefix, _settings.results_queue_url),
    ItemClaims(_settings.idempotency_table, _settings.idempotency_seconds, client("dynamodb"))
    if _settings.idempotency_table
    else NoClaims(),
    environment.metrics,
    _settings.most_body_bytes,
    _settings.spare_seconds,
    {_settings.model: _settings.digest},
    redeliver=Redelivery(),
)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer one SQS event with its `batchItemFailures`. `context` may be None."""
    return environment.answer(function.handle, event, context)
