"""What becomes a stack: a model, or the models of a group; with its artifacts, or with what stands in its way."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from infra.admission import Member, admit
from infra.code import Building
from infra.naming import check_distinct
from infra.planner.prices import PriceTable
from infra.reservations import excess, reserved_by
from infra.sizing import Size, size
from infra.stages import Stage
from layers.catalogue import ModelSpec
from layers.errors import CatalogueError, HundredfoldError


@dataclass(frozen=True)
class Deployment:
    """`name` is the model's or the group's. `size` is None exactly where there are `problems`."""

    name: str
    members: tuple[Member, ...]
    size: Size | None
    problems: tuple[str, ...]

    @property
    def reserved(self) -> int:
        """Concurrent executions that its functions keep from all others of the account."""
        if self.size is None:
            return 0
        return reserved_by(self.members[0].spec.deploy.triggers, self.size.function.concurrency)

    @classmethod
    def refused(cls, name: str, *problems: str) -> Self:
        """One that nothing is deployed of, with what stands in its way."""
        return cls(name, (), None, problems)


def monthly_budget_usd(deployment: Deployment, stage: Stage) -> float:
    """What the catalogue allows for its models together; the stage's amount where a model states none."""
    stated = [member.spec.traffic.monthly_budget_usd for member in deployment.members]
    return sum(each for each in stated if each is not None) if all(stated) else stage.monthly_budget_usd


def deployments(
    catalogue: dict[str, ModelSpec],
    catalogue_folder: Path,
    output: Path,
    stage: Stage,
    prices: PriceTable,
    building: Building,
) -> list[Deployment]:
    """One for each model without a group, one for each group; each with its own problems.

    Raises CatalogueError when two would be one stack.
    """
    grouped: dict[str, list[ModelSpec]] = {}
    for spec in catalogue.values():
        grouped.setdefault(spec.deploy.group or spec.name, []).append(spec)
        if spec.deploy.group in catalogue:
            raise CatalogueError(f"[{spec.name}.deploy] group {spec.deploy.group!r} is a model's name; choose another")
    check_distinct(grouped, stage.stack_prefix)
    _check_domains(stage, grouped)
    found = [
        _deployment(name, specs, catalogue_folder, output, stage, prices, building) for name, specs in grouped.items()
    ]
    return _within_the_account(found, stage)


def _within_the_account(found: list[Deployment], stage: Stage) -> list[Deployment]:
    """Whatever reserves too much alone is refused alone; whatever does so with the rest, together with the rest.

    CloudFormation would refuse the last of them, after it has deployed the others.
    """
    alone = {each.name: excess({each.name: each.reserved}, stage.account_concurrency) for each in found}
    fitting = {each.name: each.reserved for each in found if each.reserved and not alone[each.name]}
    together = excess(fitting, stage.account_concurrency)
    problems = {name: alone[name] or (together if name in fitting else None) for name in alone}
    return [Deployment.refused(each.name, problem) if (problem := problems[each.name]) else each for each in found]


def _check_domains(stage: Stage, names: Iterable[str]) -> None:
    for owner in stage.domains:
        if owner not in names:
            raise CatalogueError(
                f"[{stage.name}.domains.{owner}]: no model or group of that name; the catalogue has {', '.join(names)}"
            )


def _deployment(
    name: str,
    specs: list[ModelSpec],
    catalogue_folder: Path,
    output: Path,
    stage: Stage,
    prices: PriceTable,
    building: Building,
) -> Deployment:
    problems: list[str] = []
    members: list[Member] = []
    differing = [spec.name for spec in specs if spec.deploy != specs[0].deploy]
    if differing:
        problems.append(
            f"group {name}: [{differing[0]}.deploy] differs from [{specs[0].name}.deploy]; models of a group share a "
            "function, so their deploy tables must be the same"
        )
    if len(specs) > 1 and any("bucket" in spec.deploy.triggers for spec in specs):
        # Its function loads one model for every object, and would fail at its start.
        problems.append(
            f'group {name}: triggers has "bucket", and an object does not say which of '
            f"{', '.join(spec.name for spec in specs)} answers it. Remove the trigger from their deploy tables, or "
            "group from those of the models that objects are for"
        )
    domain = stage.domains.get(name)
    problem = domain.problem(name, specs[0].deploy) if domain else None
    problems += [problem] if problem else []
    for spec in specs:
        try:
            members.append(admit(spec, output / spec.name, catalogue_folder))
        except HundredfoldError as error:
            problems.append(str(error))
    if problems:
        return Deployment.refused(name, *problems)
    try:
        sized = size(members, stage, prices)
    except HundredfoldError as error:
        return Deployment.refused(name, str(error))
    if sized.endpoint is not None and not building.gpu_dockerfile.is_file():
        missing = (
            f"{name}: an endpoint's image is built from {building.gpu_dockerfile}, which is not there; restore it."
        )
        return Deployment.refused(name, missing)
    return Deployment(name, tuple(members), sized, ())
