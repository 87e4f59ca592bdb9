"""`models.toml`: one typed table per model, read into frozen `ModelSpec`s.

What is wrong in a table is one `CatalogueError`, as `toml_tables` says it. Nothing here opens a checkpoint.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from layers.errors import CatalogueError
from layers.toml_tables import named_table, suggest

Task = Literal[
    "text-classification",
    "token-classification",
    "question-answering",
    "fill-mask",
    "feature-extraction",
    "sentence-similarity",
    "rerank",
    "zero-shot-classification",
    "summarization",
    "translation",
    "text-generation",
    "text2text-generation",
]
Precision = Literal["auto", "fp32", "int8", "int4", "fp16"]
Metric = Literal["accuracy", "agreement", "f1", "cosine", "spearman", "top1", "perplexity", "logit_error"]
Trigger = Literal["https", "queue", "bucket"]

MODEL_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
COMMIT = re.compile(r"[0-9a-f]{40}")
# What a deploy table's keys say something of, where only one target has it.
OF_TARGET = {
    "lambda": ("a function that holds the model", ("memory_mib", "architecture")),
    "gpu": ("a GPU endpoint", ("mode", "instance_type")),
}
# Keys that one trigger's function alone heeds.
OF_TRIGGER: dict[str, Trigger] = {"streaming": "https", "response_cache": "https", "idempotency": "queue"}


class Table(BaseModel):
    """One table of the catalogue: immutable, and no key that is not declared."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class GateSpec(Table):
    """How accuracy is judged. `max_drop` is relative to fp32; for cosine it is 1 - mean cosine."""

    metric: Metric | None = None
    data: str | None = None
    max_drop: Annotated[float, Field(ge=0, le=1)] = 0.005


class TrafficSpec(Table):
    """The demand profile the planner reads: a rate during the busy hours of each day, and nothing outside them."""

    requests_per_second: Annotated[float, Field(ge=0)] = 1.0
    peak_requests_per_second: Annotated[float, Field(gt=0)] | None = None
    busy_hours_per_day: Annotated[float, Field(gt=0, le=24)] = 24.0
    monthly_budget_usd: Annotated[float, Field(gt=0)] | None = None
    p95_ms: Annotated[float, Field(gt=0)] = 1000.0
    tokens_in: Annotated[int, Field(ge=1)] = 64
    tokens_out: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _peaks_above_its_average(self) -> Self:
        if self.peak < self.requests_per_second:
            raise ValueError(
                f"peak_requests_per_second: got {self.peak:g}, expected at least requests_per_second "
                f"({self.requests_per_second:g}); remove the key, and the peak is the average"
            )
        return self

    @property
    def peak(self) -> float:
        """The highest rate to be ready for; the average where none is stated."""
        stated = self.peak_requests_per_second
        return self.requests_per_second if stated is None else stated


class ScheduleSpec(Table):
    """From when on how many environments are kept warm; `cron` has the six fields of AWS's schedules, in UTC."""

    cron: Annotated[str, Field(pattern=r"^\S+ \S+ \S+ \S+ \S+ \S+$")]
    minimum: Annotated[int, Field(ge=1)]
    maximum: Annotated[int, Field(ge=1)]

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.minimum > self.maximum:
            raise ValueError(f"minimum: got {self.minimum}, expected at most maximum, which is {self.maximum}")
        return self


def _memory(value: object) -> object:
    """As one mistake: a union's would be one for each of its types, under names that are no keys."""
    if value == "auto" or (type(value) is int and 128 <= value <= 10240):
        return value
    raise PydanticCustomError("memory", "expected 'auto' or an integer from 128 to 10240")


class DeploySpec(Table):
    """Where and how the model is deployed."""

    target: Literal["auto", "lambda", "gpu"] = "auto"
    triggers: Annotated[list[Trigger], Field(min_length=1)] = ["https"]
    auth: Literal["iam", "none"] = "iam"
    streaming: bool = False
    architecture: Literal["auto", "x86_64", "arm64"] = "auto"
    memory_mib: Annotated[Literal["auto"] | int, BeforeValidator(_memory)] = "auto"
    concurrency: Annotated[int, Field(ge=0)] = 10
    provisioned: Annotated[int, Field(ge=0)] = 0
    provisioned_max: Annotated[int, Field(ge=1)] | None = None
    schedule: list[ScheduleSpec] = []
    snapstart: bool = False
    group: Annotated[str, Field(pattern=f"^{MODEL_NAME.pattern}$")] | None = None
    cors_origins: list[str] = []
    idempotency: bool = False
    response_cache: bool = False
    mode: Literal["auto", "realtime", "asynchronous"] = "auto"
    instance_type: Annotated[str, Field(pattern=r"^(auto|ml\.[a-z0-9]+\.[a-z0-9]+)$")] = "auto"

    @model_validator(mode="after")
    def _can_be_deployed(self) -> Self:
        twice = [trigger for trigger in self.triggers if self.triggers.count(trigger) > 1]
        if twice:
            raise ValueError(f"triggers: got {twice[0]!r} twice, expected each once")
        if self.snapstart and self.provisioned:
            raise ValueError("snapstart and provisioned exclude each other in Lambda; keep one of them")
        if self.provisioned == 0 and (self.provisioned_max is not None or self.schedule):
            raise ValueError("provisioned_max and schedule move provisioned, which is 0: set it to 1 or more")
        warm = [self.provisioned, self.provisioned_max or 0, *(entry.maximum for entry in self.schedule)]
        # 0 switches the model off, and what was kept warm with it.
        if 0 < self.concurrency < max(warm):
            raise ValueError(
                f"{max(warm)} environments kept warm are more than concurrency = {self.concurrency}; raise concurrency"
            )
        if self.provisioned_max is not None and self.provisioned_max < self.provisioned:
            raise ValueError(f"provisioned_max: got {self.provisioned_max}, expected at least {self.provisioned}")
        for key, trigger in OF_TRIGGER.items():
            if getattr(self, key) and trigger not in self.triggers:
                raise ValueError(f'{key}: is of the {trigger} trigger; add "{trigger}" to triggers, or remove {key}')
        return self

    @model_validator(mode="after")
    def _says_nothing_of_another_target(self) -> Self:
        for target, (owner, keys) in OF_TARGET.items():
            stated = [key for key in keys if getattr(self, key) != "auto"]
            if stated and self.target not in ("auto", target):
                raise ValueError(
                    f'{stated[0]}: is of {owner}, and target = "{self.target}" deploys none; '
                    f"remove {stated[0]}, or target"
                )
        return self


class BucketSpec(Table):
    """What the bucket function reads from tabular objects."""

    column: str = "text"


class ModelSpec(Table):
    """One model: what to build, how to judge it and where to run it. Paths are as written in the catalogue."""

    name: str
    source: str
    task: Task
    revision: str | None = None
    precision: Precision = "auto"
    gate: GateSpec = GateSpec()
    traffic: TrafficSpec = TrafficSpec()
    deploy: DeploySpec = DeploySpec()
    bucket: BucketSpec = BucketSpec()

    @model_validator(mode="after")
    def _names_one_checkpoint(self) -> Self:
        if not MODEL_NAME.fullmatch(self.name):
            raise ValueError("model names are 1 to 63 of a-z, 0-9, '.', '_' and '-', and start with a letter or digit")
        if self.is_remote and not (self.revision and COMMIT.fullmatch(self.revision)):
            raise ValueError(
                f"revision: got {self.revision!r}, expected the 40 hexadecimal digits of a commit "
                "(branches and tags move); copy it from the repository's commit list"
            )
        if not self.is_remote and self.revision is not None:
            raise ValueError("revision: a local directory has none; remove the key")
        return self

    @property
    def is_remote(self) -> bool:
        """True when `source` names a repository on the Hugging Face Hub."""
        return self.source.startswith("hf://")


def read_catalogue(path: Path) -> dict[str, ModelSpec]:
    """Read every model of the catalogue file, in the order written.

    Raises CatalogueError when the file is missing, is not TOML, or a table is not valid.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CatalogueError(
            f"{path}: no such catalogue. Write one table per model, or pass --catalog FILE."
        ) from error
    except OSError as error:
        raise CatalogueError(f"{path}: cannot be read: {error.strerror}. Pass --catalog FILE.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CatalogueError(f"{path}: not valid TOML: {error}") from error
    return {name: _read_table(path, name, table) for name, table in tables.items()}


def select(catalogue: dict[str, ModelSpec], names: list[str]) -> list[ModelSpec]:
    """The named models in the order named; every model when no name is given."""
    unknown = [name for name in names if name not in catalogue]
    if unknown:
        raise CatalogueError(
            f"unknown model {unknown[0]!r}: {suggest(unknown[0], list(catalogue))}"
            f"The catalogue has: {', '.join(catalogue) or 'no models'}."
        )
    return [catalogue[name] for name in names] if names else list(catalogue.values())


def _read_table(path: Path, name: str, table: Any) -> ModelSpec:
    if not isinstance(table, dict):
        raise CatalogueError(
            f"{path}: {name} = {table!r} stands outside a table; models are tables like [{name}] with source and task"
        )
    required = "every model needs source and task (and revision for hf://)"
    return named_table(ModelSpec, path, name, table, required)
