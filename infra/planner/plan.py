"""A model's plan: every option judged against its target and budget, and the cheapest that keeps both."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from infra.planner.assumptions import Assumptions
from infra.planner.break_even import BreakEven, break_evens
from infra.planner.demand import Demand
from infra.planner.endpoint_options import endpoint_candidates, has_cuda
from infra.planner.function_options import function_candidates
from infra.planner.instance_types import why_unplanned
from infra.planner.option import Option
from infra.planner.prices import PriceTable
from infra.planner.refusal import refusal_of
from infra.planner.workload import Candidate, Workload
from infra.reservations import reserved_by
from layers.artifact import Manifest
from layers.catalogue import ModelSpec


@dataclass(frozen=True)
class Plan:
    """`options` are all that were considered: those that can be chosen first, each part by price.

    `break_evens` say from which demand on another kind of option would cost less. `notes` say what was not offered.
    """

    model: str
    demand: Demand
    p95_ms: float
    budget_usd: float | None
    chosen: Option
    options: tuple[Option, ...]
    break_evens: tuple[BreakEven, ...]
    notes: tuple[str, ...]


def plan_model(spec: ModelSpec, manifest: Manifest, prices: PriceTable, assumed: Assumptions | None = None) -> Plan:
    """The cheapest deployment of this artifact that keeps the model's p95 and its budget.

    What the catalogue's `deploy` table fixes is kept. Raises UnmetDemandError when no option keeps everything,
    CatalogueError when the demand is not complete, ArtifactError when the manifest is not.
    """
    work = workload_of(spec, manifest, prices, assumed)
    candidates = candidates_of(work)
    options = judged(work, candidates)
    if not options or not options[0].can_be_chosen:
        raise refusal_of(work, options, _judged_for)
    chosen = options[0]
    return Plan(
        model=spec.name,
        demand=work.demand,
        p95_ms=spec.traffic.p95_ms,
        budget_usd=spec.traffic.monthly_budget_usd,
        chosen=chosen,
        options=(chosen, *(_lost(option, chosen) for option in options[1:])),
        break_evens=break_evens(work, candidates, chosen, options),
        notes=tuple(_notes(work, options)),
    )


def workload_of(
    spec: ModelSpec, manifest: Manifest, prices: PriceTable, assumed: Assumptions | None = None
) -> Workload:
    """What `plan_model` plans for; `at` moves it to another demand."""
    return Workload(spec, manifest, Demand.of(spec.traffic), prices, assumed or Assumptions())


def candidates_of(work: Workload) -> tuple[Candidate, ...]:
    """Whatever the model's table leaves open and the artifact can do."""
    target = work.spec.deploy.target
    functions = function_candidates(work) if target in ("auto", "lambda") else ()
    endpoints = endpoint_candidates(work) if target in ("auto", "gpu") else ()
    return (*functions, *endpoints)


def judged(work: Workload, candidates: Iterable[Candidate]) -> tuple[Option, ...]:
    """Every option with its verdict: those that can be chosen first, then those that could be deployed, by price."""
    return tuple(sorted((_judged(work, candidate(work)) for candidate in candidates), key=_rank))


def _judged_for(work: Workload) -> tuple[Option, ...]:
    return judged(work, candidates_of(work))


def _rank(option: Option) -> tuple[bool, bool, float, float]:
    return (not option.can_be_chosen, option.refused is not None, option.monthly_usd, option.p95_ms)


def _judged(work: Workload, option: Option) -> Option:
    """With the verdict, and the reserved concurrency that the table fixes."""
    budget = work.spec.traffic.monthly_budget_usd
    missed = tuple(_missed(work, option))
    within = budget is None or option.monthly_usd <= budget
    reasons = [*missed] if within else [*missed, f"${option.monthly_usd:,.2f} a month is over ${budget:,.2f}"]
    return replace(
        option,
        concurrency=work.stated_concurrency or option.concurrency,
        meets_target=not missed,
        within_budget=within,
        why_not=option.refused or "; ".join(reasons) or None,
    )


def _missed(work: Workload, option: Option) -> Iterator[str]:
    """What is wrong with it, beside its price."""
    target, fixed = work.spec.traffic.p95_ms, work.stated_concurrency
    if option.memory_mib is not None and option.memory_mib < work.needed_mib:
        yield f"the model needs {work.needed_mib:,.0f} MiB"
    if option.p95_ms > target:
        cold = f", {option.cold_start_share:.0%} of requests start cold" if option.cold_start_share > 0.05 else ""
        yield f"p95 of {option.p95_ms:,.1f} ms is over {target:g} ms{cold}"
    triggers, most = work.spec.deploy.triggers, work.assumed.reservable_concurrency
    reserved = reserved_by(triggers, fixed or option.concurrency)
    if reserved > most:
        functions = f" in {len(triggers)} functions" if len(triggers) > 1 else ""
        yield f"{reserved:,} environments at once{functions}; an account can reserve {most:,}"
    elif fixed and option.concurrency > fixed:
        yield f"needs {option.concurrency} environments at once; [deploy] concurrency is {fixed}"


def _lost(option: Option, chosen: Option) -> Option:
    if option.why_not is not None:
        return option
    more = option.monthly_usd - chosen.monthly_usd
    return replace(option, why_not=f"${more:,.2f} a month more than {chosen.name}")


def _notes(work: Workload, options: tuple[Option, ...]) -> Iterator[str]:
    """What was not offered, and why."""
    deploy = work.spec.deploy
    if deploy.target != "gpu":
        offered = {option.architecture for option in options}
        for name in ("x86_64", "arm64"):
            if deploy.architecture in ("auto", name) and name not in offered:
                yield f"{name} functions are not offered: this artifact has no latency measured on {name}"
    if unplanned := why_unplanned(work):
        yield f"GPU endpoints are not offered: {unplanned}"
    elif deploy.target != "lambda" and not has_cuda(work):
        yield "GPU endpoints are priced and not offered: this artifact has no CUDA variant"
    yield f"prices of {work.prices.as_of} in {work.prices.region}, before free tier, discounts, data transfer and tax"
