"""`stages.toml`: what differs between dev and prod, as typed and checked tables. Its domains are `infra/domains.py`'s.

Only environment differences stand here; what a model needs is in `models.toml`.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from infra.domains import Domain
from infra.reservations import DEFAULT_QUOTA
from layers.errors import CatalogueError
from layers.toml_tables import named_table

RetentionDays = Literal[1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731]
Rollout = Literal["all-at-once", "canary-5-minutes", "canary-30-minutes", "linear-10-minutes"]
Arn = Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:iam::\d{12}:(root|(user|role)/.+)$")]
Email = Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$")]
TagText = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[\w .:/=+@-]+$")]


class Stage(BaseModel):
    """One stage. Frozen; a key that is not declared is refused. Amounts in US dollars a month."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    name: str
    account: Annotated[str, Field(pattern=r"^\d{12}$")] | None = None
    region: Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")] | None = None
    stack_prefix: Annotated[str, Field(pattern=r"^([A-Za-z][A-Za-z0-9-]*-)?$", max_length=40)] = ""
    retain_data: bool = False
    log_retention_days: RetentionDays = 14
    rollout: Rollout = "all-at-once"
    alarm_emails: list[Email] = []
    callers: list[Arn] = []
    monthly_budget_usd: Annotated[float, Field(gt=0)] = 50.0
    results_days: Annotated[int, Field(ge=1)] = 30
    account_concurrency: Annotated[int, Field(ge=1)] = DEFAULT_QUOTA
    max_concurrency: Annotated[int, Field(ge=1)] | None = None
    max_instances: Annotated[int, Field(ge=1)] = 2
    tags: dict[TagText, TagText] = {}
    domains: dict[str, Domain] = {}

    @model_validator(mode="after")
    def _has_domains_of_its_own(self) -> Self:
        names = [domain.name for domain in self.domains.values()]
        for model, domain in self.domains.items():
            if names.count(domain.name) > 1:
                raise ValueError(f"domains.{model}.name: {domain.name} is the name of two models; give each its own")
            if self.account is not None and domain.certificate_account != self.account:
                raise ValueError(
                    f"domains.{model}.certificate_arn: got a certificate of account {domain.certificate_account}, "
                    f"expected one of the stage's, {self.account}; CloudFront takes none of another"
                )
        return self


def read_stage(path: Path, name: str) -> Stage:
    """The stage of that name. Raises CatalogueError naming the key that is wrong, or the stages there are."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CatalogueError(f"{path}: no such file. Write one table a stage, such as [dev].") from error
    except OSError as error:
        raise CatalogueError(f"{path}: cannot be read: {error.strerror}. Pass -c stages=FILE.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CatalogueError(f"{path}: not valid TOML: {error}") from error
    table = tables.get(name)
    if not isinstance(table, dict):
        raise CatalogueError(f"{path}: no stage {name!r}: got {', '.join(tables) or 'no tables'}. Pass -c stage=NAME.")
    return named_table(Stage, path, name, table)
