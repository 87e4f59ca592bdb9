"""How large what is deployed has to be: the table where it says so, the planner where it says `auto`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from infra.admission import Member
from infra.stages import Stage
from layers.catalogue import DeploySpec
from layers.errors import CatalogueError

# One vCPU: Lambda gives 1,769 MB a whole one (gettingstarted-limits).
ONE_VCPU_MIB = 1769


@dataclass(frozen=True)
class FunctionSize:
    """A function's share of a machine and how many of it there may be. `warm_*` count environments."""

    architecture: str
    memory_mib: int
    concurrency: int
    warm_minimum: int
    warm_maximum: int


def function_size(members: Sequence[Member], stage: Stage) -> FunctionSize:
    """For one model, or for the models of a group together. Raises CatalogueError where the table contradicts itself.

    A stage's `max_concurrency` bounds what the catalogue asks for, provisioned environments included.
    """
    deploy = members[0].spec.deploy
    targets = sorted({member.manifest.target for member in members})
    if len(targets) > 1:
        raise CatalogueError(f"group {deploy.group}: its artifacts are for {' and '.join(targets)}, expected one target")
    concurrency = min(deploy.concurrency, stage.max_concurrency or deploy.concurrency)
    return FunctionSize(
        architecture=targets[0],
        memory_mib=max(_memory_mib(member) for member in members),
        concurrency=concurrency,
        warm_minimum=min(deploy.provisioned, concurrency),
        warm_maximum=min(max(deploy.provisioned, deploy.provisioned_max or 0, *_scheduled(deploy)), concurrency),
    )


def _scheduled(deploy: DeploySpec) -> list[int]:
    return [entry.maximum for entry in deploy.schedule] or [0]


def _memory_mib(member: Member) -> int:
    memory_mib = member.spec.deploy.memory_mib
    return ONE_VCPU_MIB if memory_mib == "auto" else memory_mib
