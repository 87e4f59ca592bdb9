"""Bucket trigger: S3 events, directly or by way of a queue; results go below a prefix, part by part.

Models are loaded at import, in the init phase: once per environment, from `ARTIFACT_DIR`.
"""

from __future__ import annotations

from typing import Any

from functions.aws import client
from functions.bucket.function import BucketFunction, Place
from functions.bucket.hand_on import hand_on
from functions.bucket.object_work import Limits
from functions.bucket.rows import Reading
from functions.bucket.store import ObjectStore
from functions.environment import Environment, load_environment
from functions.event_settings import EventSettings
from functions.redelivery import Redelivery
from layers.errors import ArtifactError, InputError

environment = load_environment("bucket")


def open_function(environment: Environment) -> BucketFunction:
    """The function over loaded models. Raises ArtifactError where it is not clear which model answers objects."""
    settings = environment.event_settings
    try:
        model = environment.models.name_of(settings.bucket_model)
    except InputError as error:
        raise ArtifactError(f"HUNDREDFOLD_BUCKET_MODEL: {error}") from error
    predictor = environment.models.predictors[model]
    manifest = predictor.manifest
    return BucketFunction(
        *open_stores(settings),
        Place(settings.results_bucket, settings.results_prefix),
        environment.models,
        model,
        {"model": model, "task": manifest.task, "digest": manifest.digest, "variant": predictor.variant.name},
        Reading(
            manifest.spec.bucket.column,
            settings.bucket_parameters,
            environment.settings.max_body_bytes,
            settings.txt_document,
        ),
        Limits(settings.range_seconds, settings.range_bytes),
        lambda event, queue_arn: hand_on(event, settings.ranges_queue_url, queue_arn),
        environment.metrics,
        settings.spare_seconds,
        Redelivery(),
    )


def open_stores(settings: EventSettings) -> tuple[ObjectStore, ObjectStore]:
    """Where objects are read and where results are written: S3, or folders on a laptop."""
    from functions.bucket.folder_store import FolderStore
    from functions.bucket.s3_store import S3Store

    objects, results = settings.objects_dir, settings.results_dir
    return (
        FolderStore(objects) if objects is not None else S3Store(client("s3")),
        FolderStore(results) if results is not None else S3Store(client("s3")),
    )


function = open_function(environment)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any] | None:
    """Answer one event. `context` may be None."""
    return environment.answer(function.handle, event, context)
