"""When nothing meets a demand: what does, if the catalogue asked for a little less."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import ROUND_CEILING, Context

from infra.planner.instance_types import why_unplanned
from infra.planner.option import Option
from infra.planner.workload import Workload
from infra.reservations import UNRESERVED, reserved_by
from layers.catalogue import OF_TRIGGER, DeploySpec, TrafficSpec
from layers.errors import HundredfoldError

# Keys of the deploy table that leave fewer options.
FIXED = (
    "target",
    "architecture",
    "memory_mib",
    "concurrency",
    "provisioned",
    "provisioned_max",
    "schedule",
    "snapstart",
    "mode",
    "instance_type",
)


class UnmetDemandError(HundredfoldError):
    """No option keeps target and budget. `options` are all that were considered; the message says what would do."""

    def __init__(self, message: str, options: tuple[Option, ...]) -> None:
        super().__init__(message)
        self.options = options


def refusal_of(
    work: Workload, options: tuple[Option, ...], plan_for: Callable[[Workload], tuple[Option, ...]]
) -> UnmetDemandError:
    """The error, with every single change that would have given a plan. `plan_for` judges options for another table.

    It sorts those that can be chosen first.
    """
    traffic = work.spec.traffic
    budget = "" if traffic.monthly_budget_usd is None else f" within ${traffic.monthly_budget_usd:,.2f} a month"
    asked = f"{work.spec.name}: nothing answers {traffic.requests_per_second:g} requests a second of "
    asked += f"{traffic.tokens_in} tokens in and {traffic.tokens_out} out with p95 {traffic.p95_ms:g} ms{budget}."
    if not options:
        return UnmetDemandError(f"{asked} There is no option at all: {_why_none(work)}", options)
    unplanned = why_unplanned(work)
    asked += f" {unplanned}." if unplanned else ""
    changes = [*_slower(work, plan_for), *_dearer(options), *_freer(work, plan_for), *_elsewhere(options)]
    changes += [*_fewer_functions(work, plan_for), *_larger_quota(work, plan_for), *_other_precision(work)]
    advice = " Any of these would do: " + "; ".join(changes) + "." if changes else ""
    return UnmetDemandError(asked + (advice or " No change of target, budget or deployment alone would do."), options)


def _why_none(work: Workload) -> str:
    unplanned = why_unplanned(work) if work.spec.deploy.target == "gpu" else None
    if unplanned is not None:
        return f"{unplanned}."
    return (
        f"the artifact has no measured latency for what [{work.spec.name}.deploy] asks for. Build it on a machine "
        "that can run it, or change target and architecture."
    )


def _slower(work: Workload, plan_for: Callable[[Workload], tuple[Option, ...]]) -> Iterator[str]:
    """The fastest of those that could be chosen by somebody who waits for any of them."""
    patient = work.spec.traffic.model_copy(update={"p95_ms": math.inf})
    slow = [option for option in plan_for(_with(work, traffic=patient)) if option.can_be_chosen]
    if slow:
        best = min(slow, key=lambda option: (option.p95_ms, option.monthly_usd))
        yield f"p95_ms = {_up(best.p95_ms)} ({best.name}, ${best.monthly_usd:,.2f} a month)"


def _dearer(options: tuple[Option, ...]) -> Iterator[str]:
    """The cheapest that only misses the budget."""
    dear = [o for o in options if o.refused is None and o.meets_target and not o.within_budget]
    if dear:
        best = min(dear, key=lambda option: option.monthly_usd)
        yield f"monthly_budget_usd = {_up(best.monthly_usd)} ({best.name}, p95 {best.p95_ms:,.1f} ms)"


def _freer(work: Workload, plan_for: Callable[[Workload], tuple[Option, ...]]) -> Iterator[str]:
    """What would be chosen if the deploy table fixed nothing. A key that states its default is fixed, too."""
    deploy = work.spec.deploy
    free = DeploySpec(triggers=deploy.triggers)
    fixed = [key for key in FIXED if key in deploy.model_fields_set and getattr(deploy, key) != "auto"]
    if not fixed:
        return
    best = plan_for(_with(work, deploy=free))[:1]
    if best and best[0].can_be_chosen:
        yield f"[{work.spec.name}.deploy] without {', '.join(fixed)} ({best[0].name}, ${best[0].monthly_usd:,.2f})"


def _fewer_functions(work: Workload, plan_for: Callable[[Workload], tuple[Option, ...]]) -> Iterator[str]:
    """Each trigger has a function, and each function reserves as much as the first."""
    deploy = work.spec.deploy
    for trigger in deploy.triggers if len(deploy.triggers) > 1 else ():
        stated = {**deploy.model_dump(exclude_unset=True), "triggers": [trigger]}
        stated = {key: value for key, value in stated.items() if OF_TRIGGER.get(key, trigger) == trigger}
        best = plan_for(_with(work, deploy=DeploySpec.model_validate(stated)))[:1]
        if best and best[0].can_be_chosen:
            yield f'triggers = ["{trigger}"] alone ({best[0].name}, ${best[0].monthly_usd:,.2f} a month)'


def _larger_quota(work: Workload, plan_for: Callable[[Workload], tuple[Option, ...]]) -> Iterator[str]:
    """What AWS gives on request, where nothing else is missing."""
    best = plan_for(replace(work, assumed=replace(work.assumed, reservable_concurrency=sys.maxsize)))[:1]
    if best and best[0].can_be_chosen:
        quota = reserved_by(work.spec.deploy.triggers, best[0].concurrency) + UNRESERVED
        yield f"a quota of {quota:,} concurrent executions for the account ({best[0].name})"


def _with(work: Workload, **changes: TrafficSpec | DeploySpec) -> Workload:
    return replace(work, spec=work.spec.model_copy(update=changes))


def _elsewhere(options: tuple[Option, ...]) -> Iterator[str]:
    """The cheapest GPU that would do, had the artifact been built for one."""
    able = [o for o in options if o.refused and o.estimated and o.meets_target and o.within_budget]
    if able:
        best = min(able, key=lambda option: option.monthly_usd)
        yield f"a build with --target cuda ({best.name}, ${best.monthly_usd:,.2f} a month; {best.estimated})"


def _other_precision(work: Workload) -> Iterator[str]:
    """Variants that were not tried, or that the gate kept back. It takes no drop above 1."""
    if work.spec.precision == "fp32":
        yield 'precision = "auto", which may ship a faster variant (not measured)'
        return
    manifest = work.manifest
    if {manifest.variant(name).precision for name in manifest.chosen.values()} != {"fp32"}:
        return
    kept_back = [v for v in manifest.variants if not v.verdict.passed and v.verdict.drop <= 1]
    able = [variant for variant in kept_back if set(manifest.chosen) <= set(variant.exact_on)]
    if able:
        best = min(able, key=lambda variant: variant.verdict.drop)
        yield (
            f"[{work.spec.name}.gate] max_drop = {_up(best.verdict.drop)}, which {best.name} would pass "
            "(faster or not was not measured)"
        )


def _up(value: float) -> float:
    """Rounded up to three figures, so that what is advised is enough."""
    return float(Context(prec=3, rounding=ROUND_CEILING).create_decimal_from_float(value))
