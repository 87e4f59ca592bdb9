"""Bucket trigger before an endpoint: the bucket function as it is, over a model that is asked by network.

Clients are made at import, in the init phase, from the environment (`settings.py`).
"""

from __future__ import annotations

from typing import Any

from functions.aws import client
from functions.bucket.function import BucketFunction, Place
from functions.bucket.hand_on import hand_on
from functions.bucket.object_work import Limits
from functions.bucket.rows import Reading
from functions.bucket.s3_store import S3Store
from functions.forward.environment import ForwardEnvironment, open_environment
from functions.redelivery import Redelivery

environment = open_environment("bucket")


def open_function(environment: ForwardEnvironment) -> BucketFunction:
    """The function over the endpoint's model."""
    settings = environment.settings
    facts = {name: getattr(settings, name) for name in ("model", "task", "digest", "variant")}
    return BucketFunction(
        S3Store(client("s3")),
        S3Store(client("s3")),
        Place(settings.results_bucket, settings.results_prefix),
        environment.models,
        settings.model,
        facts,
        Reading(settings.column, settings.bucket_parameters or {}, settings.most_body_bytes, settings.txt_document),
        Limits(settings.range_seconds, settings.range_bytes),
        lambda event, queue_arn: hand_on(event, settings.ranges_queue_url, queue_arn),
        environment.metrics,
        settings.spare_seconds,
        Redelivery(),
    )


function = open_function(environment)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer one event. `context` may be None."""
    return environment.answer(function.handle, event, context)
