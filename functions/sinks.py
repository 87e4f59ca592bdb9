"""The sinks that are configured, opened."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from functions.results import EverySink, Result, ResultSink
from layers.errors import ArtifactError


def open_sink(bucket: str | None, prefix: str, queue_url: str | None, directory: Path | None = None) -> ResultSink:
    """Each that is named, one after the other. Raises ArtifactError when none is."""
    from functions.aws import client
    from functions.results_bucket import BucketSink
    from functions.results_folder import FolderSink
    from functions.results_queue import QueueSink

    sinks: list[ResultSink] = []
    locate: Callable[[Result], str] | None = None
    if bucket is not None:
        in_bucket = BucketSink(client("s3"), bucket, prefix)
        sinks.append(in_bucket)
        locate = in_bucket.location
    if directory is not None:
        sinks.append(FolderSink(directory, prefix))
    if queue_url is not None:
        sinks.append(QueueSink(client("sqs"), queue_url, locate))
    if not sinks:
        raise ArtifactError(
            "no place for results: set HUNDREDFOLD_RESULTS_BUCKET or HUNDREDFOLD_RESULTS_QUEUE_URL, "
            "or HUNDREDFOLD_RESULTS_DIR on a laptop."
        )
    return sinks[0] if len(sinks) == 1 else EverySink(*sinks)
