"""A model's plan: every option judged against its target and budget, and the cheapest that keeps both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from infra.planner.assumptions import Assumptions
from infra.planner.demand import Demand
from infra.planner.function_options import Workload, function_options
from infra.planner.option import Option
from infra.planner.prices import PriceTable
from layers.artifact import Manifest
from layers.catalogue import ModelSpec
from layers.errors import HundredfoldError


@dataclass(frozen=True)
class Plan:
    """`options` are all that were considered, cheapest first among those that keep target and budget; `chosen` is one.

    `notes` say what was not offered, and what the figures do not cover.
    """

    model: str
    demand: Demand
    p95_ms: float
    budget_usd: float | None
    chosen: Option
    options: tuple[Option, ...]
    notes: tuple[str, ...]


class UnmetDemandError(HundredfoldError):
    """No option keeps the target and the budget. `options` are all, best first; the message says what would do."""

    def __init__(self, message: str, options: tuple[Option, ...]) -> None:
        super().__init__(message)
        self.options = options


def plan_model(spec: ModelSpec, manifest: Manifest, prices: PriceTable, assumed: Assumptions | None = None) -> Plan:
    """The cheapest deployment of this artifact that keeps the model's p95 and its budget.

    `spec` is the catalogue's, which may be newer than the manifest's copy. What its `deploy` table fixes is kept.
    Raises UnmetDemandError when nothing does, CatalogueError when the demand is not complete.
    """
    assumed = assumed or Assumptions()
    work = Workload(spec, manifest, Demand.of(spec.traffic), prices, assumed)
    judged = sorted((_judged(work, option) for option in function_options(work)), key=_rank)
    if not judged or not _keeps(judged[0]):
        raise UnmetDemandError(f"{spec.name}: no option meets p95 {spec.traffic.p95_ms:g} ms", tuple(judged))
    chosen = judged[0]
    rest = [
        replace(option, why_not=f"${option.monthly_usd - chosen.monthly_usd:,.2f} a month more than {chosen.name}")
        if _keeps(option)
        else option
        for option in judged[1:]
    ]
    return Plan(
        model=spec.name,
        demand=work.demand,
        p95_ms=spec.traffic.p95_ms,
        budget_usd=None,
        chosen=chosen,
        options=(chosen, *rest),
        notes=(),
    )


def _judged(work: Workload, option: Option) -> Option:
    """With what is wrong with it, if anything is."""
    target = work.spec.traffic.p95_ms
    wrong: list[str] = []
    if option.memory_mib is not None and option.memory_mib < work.needed_mib:
        wrong.append(f"needs {work.needed_mib:,.0f} MiB")
    if option.p95_ms > target:
        cause = f", {option.cold_start_share:.0%} start cold" if option.cold_start_share > 0.05 else ""
        wrong.append(f"p95 {option.p95_ms:,.0f} ms is over {target:g} ms{cause}")
    if option.concurrency > work.assumed.account_concurrency:
        wrong.append(
            f"needs {option.concurrency:,} environments at once; an account has {work.assumed.account_concurrency:,}"
        )
    return replace(option, meets_target=not wrong, why_not="; ".join(wrong) or None)


def _keeps(option: Option) -> bool:
    return option.meets_target and option.within_budget


def _rank(option: Option) -> tuple[bool, float, float]:
    return (not _keeps(option), option.monthly_usd, option.p95_ms)


def ranked(options: Sequence[Option]) -> tuple[Option, ...]:
    """Those that keep target and budget first, then by price."""
    return tuple(sorted(options, key=_rank))
