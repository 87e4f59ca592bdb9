"""What holds for every demand, every model and every price."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from infra.planner import Option, Plan, PriceTable, UnmetDemandError, plan_model
from infra.planner.break_even import curves
from infra.planner.plan import candidates_of, workload_of
from infra.planner.workload import Workload
from tests.infra.planner.manifests import manifest_of, spec_of

PRICES = PriceTable.read()
QUICK = settings(max_examples=15, deadline=None)
RATES = st.floats(0.001, 300)
TRAFFIC = st.fixed_dictionaries(
    {
        "requests_per_second": RATES,
        "p95_ms": st.floats(5, 5000),
        "tokens_in": st.integers(1, 400),
        "busy_hours_per_day": st.floats(0.5, 24),
        "monthly_budget_usd": st.none() | st.floats(0.5, 1000),
    }
)


@st.composite
def manifests(draw: st.DrawFn) -> Any:
    one = draw(st.floats(0.1, 200))
    speedup = draw(st.floats(0.7, 2))
    latency = {"1": {"8": one / 4, "128": one}, "2": {"8": one / 4 / speedup, "128": one / speedup}}
    return manifest_of(latency, weights_mib=draw(st.floats(1, 2000)))


def planned(traffic: dict[str, Any], manifest: Any, prices: PriceTable = PRICES) -> Plan | None:
    with suppress(UnmetDemandError):
        return plan_model(spec_of(traffic), manifest, prices)
    return None


def work_of(traffic: dict[str, Any], manifest: Any, prices: PriceTable = PRICES) -> Workload:
    return workload_of(spec_of(traffic), manifest, prices)


def raised(prices: PriceTable, factor: float) -> PriceTable:
    """Every dollar times `factor`."""

    def times(value: Any) -> Any:
        if isinstance(value, dict):
            kept = {"vcpus", "memory_gib"}
            return {key: item if key in kept else times(item) for key, item in value.items()}
        return value * factor if isinstance(value, float) else value

    return PriceTable.model_validate(times(prices.model_dump(by_alias=True)))


@QUICK
@given(TRAFFIC, manifests())
def test_never_an_option_over_the_target_or_the_budget(traffic: dict[str, Any], manifest: Any) -> None:
    plan = planned(traffic, manifest)
    if plan is not None:
        assert plan.chosen.p95_ms <= traffic["p95_ms"]
        assert plan.chosen.monthly_usd <= (traffic["monthly_budget_usd"] or float("inf"))
        assert plan.chosen.refused is None
        able = [option.monthly_usd for option in plan.options if option.can_be_chosen]
        assert plan.chosen.monthly_usd == min(able)


@QUICK
@given(TRAFFIC, manifests(), st.floats(1, 20))
def test_more_demand_never_costs_less(traffic: dict[str, Any], manifest: Any, factor: float) -> None:
    work = work_of(traffic, manifest)
    busier = work.at(work.demand.rate * factor)
    for candidate in candidates_of(work):
        before, after = candidate(work), candidate(busier)
        assert after.monthly_usd >= before.monthly_usd * (1 - 1e-9), before.name


@settings(max_examples=8, deadline=None)
@given(TRAFFIC, manifests(), st.floats(1, 10))
def test_higher_prices_never_cost_less_and_keep_the_choice(
    traffic: dict[str, Any], manifest: Any, factor: float
) -> None:
    traffic = {**traffic, "monthly_budget_usd": None}
    plan, dearer = planned(traffic, manifest), planned(traffic, manifest, raised(PRICES, factor))
    assert (plan is None) == (dearer is None)
    if plan is not None and dearer is not None:
        assert dearer.chosen.name == plan.chosen.name
        assert dearer.chosen.monthly_usd >= plan.chosen.monthly_usd * (1 - 1e-9)


@QUICK
@given(st.floats(1, 100), manifests(), st.floats(1, 10))
def test_a_busy_function_answers_as_fast_at_any_demand(rate: float, manifest: Any, factor: float) -> None:
    work = work_of({"requests_per_second": rate}, manifest)
    for candidate in candidates_of(work):
        quiet, busy = candidate(work), candidate(work.at(rate * factor))
        if quiet.target == "lambda" and max(quiet.cold_start_share, busy.cold_start_share) <= 0.05:
            assert busy.p95_ms == quiet.p95_ms
            assert busy.p50_ms == quiet.p50_ms


@settings(max_examples=8, deadline=None)
@given(manifests(), RATES)
def test_costs_cross_where_the_break_even_is(manifest: Any, rate: float) -> None:
    traffic = {"requests_per_second": rate, "p95_ms": 5000.0}
    plan = planned(traffic, manifest)
    if plan is None:
        return
    work = work_of(traffic, manifest)
    by_kind = {candidate(work).kind: candidate for candidate in candidates_of(work)}
    for crossing in plan.break_evens:
        assert plan.chosen.kind in (crossing.below, crossing.above)
        for side, cheaper in ((1 - 1e-6, crossing.below), (1 + 1e-6, crossing.above)):
            there = work.at(crossing.requests_per_second * side)
            cost = {kind: by_kind[kind](there).monthly_usd for kind in (crossing.below, crossing.above)}
            assert cost[cheaper] <= min(cost.values()) * (1 + 1e-4)


@QUICK
@given(TRAFFIC, manifests())
def test_options_survive_json(traffic: dict[str, Any], manifest: Any) -> None:
    plan = planned(traffic, manifest)
    for option in plan.options if plan else ():
        assert Option.from_json(option.as_json()) == option


@QUICK
@given(TRAFFIC, manifests())
def test_a_size_carries_the_demand_it_was_made_for(traffic: dict[str, Any], manifest: Any) -> None:
    work = work_of(traffic, manifest)
    for candidate in candidates_of(work):
        option = candidate(work)
        assert option.requests_per_second >= work.demand.peak * (1 - 1e-6), option.name


def test_a_curve_has_a_cost_at_every_rate() -> None:
    work = work_of({"requests_per_second": 1}, manifest_of())
    lines = curves(work, candidates_of(work), ["lambda x86_64 1769 MiB", "ml.c5.large realtime"])
    assert {len(line) for line in lines.values()} == {65}
    assert all(cost > 0 for line in lines.values() for _, cost in line)
