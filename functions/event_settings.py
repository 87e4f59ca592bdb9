"""What the queue and bucket functions read from the environment, besides the settings of the runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from layers.errors import ArtifactError
from layers.runtime.settings import problems_of


class EventSettings(BaseSettings):
    """Every variable begins with `HUNDREDFOLD_`; an empty one counts as not set."""

    model_config = SettingsConfigDict(frozen=True, env_prefix="HUNDREDFOLD_", env_ignore_empty=True)

    results_bucket: str | None = None
    """Where results go; of the bucket function when absent: the bucket that the object came from."""
    results_prefix: Annotated[str, Field(pattern=r"^[^/].*/$")] = "results/"
    """What keys of results begin with. Objects below it never count as input."""
    results_queue_url: str | None = None
    """A queue that the queue function's answers are sent to, too or instead."""
    results_dir: Path | None = None
    """A folder in place of the results bucket, on a laptop."""
    objects_dir: Path | None = None
    """A folder in place of S3 to read objects from, as BUCKET/KEY, on a laptop."""
    idempotency_table: str | None = None
    """A DynamoDB table in which records are claimed, so that a duplicate in progress is not computed twice."""
    idempotency_seconds: Annotated[int, Field(ge=60)] = 3600
    """How long the table remembers an answered record."""
    spare_seconds: Annotated[float, Field(ge=0)] = 2.0
    """Time that is kept for answering: nothing is started that would not end so long before the function is killed."""
    ranges_queue_url: str | None = None
    """Where the bucket function hands on the rest of a large object; when absent: the queue that the event came by."""
    range_seconds: Annotated[float, Field(gt=0)] = 60.0
    """A part of a large object's results is written at least this often; a crash repeats one part."""
    range_bytes: Annotated[int, Field(ge=1)] = 8 * 2**20
    """A part is written when its results reach this size; bounds memory."""
    bucket_model: str | None = None
    """Which model answers objects, where several are served by the function."""
    bucket_parameters: dict[str, Any] = {}
    """Parameters, as JSON, of records in objects that state none."""
    txt_document: bool = False
    """Read a .txt object as one text, and not as one text a line."""
    tracing: bool = False
    """Write traces for X-Ray; needs aws-xray-sdk."""


def read_event_settings() -> EventSettings:
    """Settings from the environment. Raises ArtifactError naming each variable that is wrong."""
    try:
        return EventSettings()
    except ValidationError as error:
        raise ArtifactError(problems_of(error)) from error
