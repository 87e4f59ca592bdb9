"""The plan: what is chosen, and what it costs to the cent by hand arithmetic from the price table."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from infra.planner import Option, Plan, PriceTable, UnmetDemandError, plan_model
from infra.planner.assumptions import Assumptions
from tests.infra.planner.manifests import manifest_of, spec_of

PRICES = PriceTable.read()
# No overhead, no spread, instant starts: what is left is arithmetic. Requests take 20 ms on one vCPU.
PLAIN = Assumptions(
    p95_over_p50=1,
    mean_over_p50=1,
    throttled_over_share=1,
    throttle_period_ms=0,
    request_overhead_ms=0,
    sandbox_ms=0,
    init_ms=0,
    init_ms_per_mib=0,
    endpoint_ms=0,
)
ONE_A_SECOND = {"requests_per_second": 1, "p95_ms": 100}
MONTH = 2_628_000  # seconds in 730 hours


def option_of(plan: Plan, name: str) -> Option:
    return next(option for option in plan.options if option.name == name)


def test_a_function() -> None:
    plan = plan_model(spec_of(ONE_A_SECOND, memory_mib=1769), manifest_of(), PRICES, PLAIN)
    function = option_of(plan, "lambda x86_64 1769 MiB")
    assert function.p50_ms == pytest.approx(20)
    # 2.628 million requests at $0.20; 2,628,000 x 0.020 s x 1.727539 GB = 90,799.5 GB-s at $0.0000166667.
    assert function.cost.requests == pytest.approx(0.5256)
    assert function.cost.compute == pytest.approx(1.513326, rel=1e-5)
    assert function.monthly_usd == pytest.approx(2.038926, rel=1e-5)
    # A request meets 0.02 busy ones on average: 0.02 + 3 x sqrt(0.02) + 1 = 1.44 environments.
    assert function.concurrency == 2


def test_starting_is_billed() -> None:
    slow_start = replace(PLAIN, sandbox_ms=500, init_ms=1000)
    spec = spec_of({"requests_per_second": 1 / 300, "p95_ms": 5000}, memory_mib=1024)
    function = option_of(plan_model(spec, manifest_of(), PRICES, slow_start), "lambda x86_64 1024 MiB")
    # Once in 300 s is worst: 8,760 requests a month, e^-1 of them find the environment gone and pay 1 s to start.
    warm_gb_seconds = 8760 * 0.035  # 20 ms on 0.579 of a vCPU is 34.55 ms, billed as 35
    assert function.cost.compute == pytest.approx((warm_gb_seconds + 8760 / math.e) * 0.0000166667, rel=1e-3)


def test_provisioned_environments() -> None:
    plan = plan_model(spec_of(ONE_A_SECOND, memory_mib=1024, provisioned=2), manifest_of(), PRICES, PLAIN)
    assert plan.chosen.name == "lambda x86_64 1024 MiB provisioned 2"
    # 2 environments x 1 GB x 2,628,000 s at $0.0000041667.
    assert plan.chosen.cost.provisioned == pytest.approx(21.900175, rel=1e-5)
    # All but 6 requests in ten thousand run there: 2,628,000 x 35 ms x 1 GB at $0.0000097222.
    assert plan.chosen.cost.compute == pytest.approx(0.894248, rel=1e-3)


def test_environments_are_provisioned_while_they_pay_for_themselves() -> None:
    busy, slow = {"requests_per_second": 2000, "p95_ms": 500}, manifest_of({"1": {"32": 200.0}})

    def cost(provisioned: int) -> float:
        spec = spec_of(busy, memory_mib=1769, provisioned=provisioned, concurrency=900)
        return plan_model(spec, slow, PRICES, PLAIN).chosen.monthly_usd

    plan = plan_model(spec_of(busy, memory_mib=1769), slow, PRICES, PLAIN)
    best = next(option for option in plan.options if option.provisioned)
    # 400 are busy on average. 394 would serve 95% of the requests; the next ones save more duration than they cost.
    assert best.provisioned > 394
    assert best.monthly_usd == pytest.approx(min(cost(best.provisioned + more) for more in (-3, -1, 0, 1, 3)))


def test_snapstart() -> None:
    plan = plan_model(spec_of(ONE_A_SECOND, memory_mib=1024, snapstart=True), manifest_of(), PRICES, PLAIN)
    assert plan.chosen.name == "lambda x86_64 1024 MiB snapstart"
    # 1 GB cached for 2,628,000 s at $0.0000015046 is $3.954; each start restores 1 GB for $0.0001397998.
    assert 3.954 < plan.chosen.cost.snapstart < 3.954 + 0.0001397998 * MONTH / 300


@pytest.mark.parametrize(
    ("triggers", "functions"),
    [(["https"], 1), (["https", "queue", "bucket"], 3), (["queue"], 2)],
    ids=["one", "three", "one, and one that the golden check asks"],
)
def test_every_function_has_a_snapshot_of_its_own(triggers: list[str], functions: int) -> None:
    def cached(**more: object) -> float:
        spec = spec_of({"requests_per_second": 0, "p95_ms": 5000}, memory_mib=1024, snapstart=True, **more)
        return plan_model(spec, manifest_of(), PRICES, PLAIN).chosen.cost.snapstart

    assert cached(triggers=triggers) == pytest.approx(functions * 3.954, rel=1e-3)


def test_busy_hours_divide_the_bill_of_a_function_and_not_of_an_endpoint() -> None:
    day = {**ONE_A_SECOND, "busy_hours_per_day": 6}
    whole, quarter = (plan_model(spec_of(each), manifest_of(), PRICES, PLAIN) for each in (ONE_A_SECOND, day))
    assert quarter.chosen.monthly_usd == pytest.approx(whole.chosen.monthly_usd / 4, rel=1e-3)
    endpoints = [option_of(plan, "ml.c5.large realtime") for plan in (whole, quarter)]
    assert endpoints[0].cost.instances == endpoints[1].cost.instances == pytest.approx(730 * 0.102)


def test_environments_kept_warm_before_an_endpoint_are_paid_for() -> None:
    table = {"target": "gpu", "instance_type": "ml.g6.xlarge", "mode": "realtime"}
    cuda = manifest_of(instruction_sets=("cuda",))
    cold, warm = (plan_model(spec_of(ONE_A_SECOND, **table, provisioned=n), cuda, PRICES, PLAIN).chosen for n in (0, 2))
    # 2 environments x 0.5 GB x 2,628,000 s at $0.0000033334.
    assert (cold.cost.provisioned, warm.cost.provisioned) == (0, pytest.approx(8.760175, rel=1e-5))
    assert warm.cold_start_share < cold.cold_start_share


def test_an_asynchronous_endpoint_sleeps() -> None:
    awake = replace(PLAIN, instance_start_ms=300_000, instance_idle_seconds=600)
    spec = spec_of({"requests_per_second": 1 / 3600, "p95_ms": 1e6}, target="gpu")
    plan = plan_model(
        spec, manifest_of(instruction_sets=("x86_64-vnni",)).model_copy(update={"target": "cuda"}), PRICES, awake
    )
    endpoint = option_of(plan, "ml.g4dn.xlarge asynchronous")
    # Up for 900 s after each request: 1 - e^(-0.25) of 730 hours at $0.7364.
    assert endpoint.cost.instances == pytest.approx(0.221199 * 730 * 0.7364, rel=1e-3)
    assert endpoint.cold_start_share >= math.exp(-0.25)  # or the function before it, whichever is more often
    assert endpoint.p95_ms > 300_000
    assert (endpoint.instances_min, endpoint.mode, endpoint.target) == (0, "asynchronous", "gpu")


def test_messages_cost_as_if_all_came_the_dearest_way() -> None:
    def messages(*triggers: str) -> float:
        spec = spec_of(ONE_A_SECOND, triggers=list(triggers))
        return plan_model(spec, manifest_of(), PRICES, PLAIN).chosen.cost.messages

    assert messages("https") == 0
    assert messages("https", "queue") == pytest.approx(2.628 * 3 * 0.40)
    assert messages("bucket") == pytest.approx(2.628 * (3 * 0.40 + 2 * 5.00 + 0.40))


def test_the_cheapest_that_meets_the_target_is_chosen() -> None:
    plan = plan_model(spec_of({"p95_ms": 50}), manifest_of(), PRICES, PLAIN)
    meeting = [option for option in plan.options if option.can_be_chosen]
    assert plan.chosen.monthly_usd == min(option.monthly_usd for option in meeting)
    assert plan.chosen.why_not is None
    assert all(option.why_not for option in plan.options if option != plan.chosen)


def test_memory_follows_the_model() -> None:
    plan = plan_model(spec_of({"p95_ms": 5000}), manifest_of(weights_mib=500), PRICES, PLAIN)
    assert min(option.memory_mib or 10240 for option in plan.options if option.can_be_chosen) == 1280
    refused = option_of(plan, "lambda x86_64 1024 MiB")
    assert not refused.meets_target
    assert "needs 1,192 MiB" in (refused.why_not or "")


def test_the_peak_and_not_the_average_reserves_environments() -> None:
    traffic = {"requests_per_second": 1, "peak_requests_per_second": 100, "p95_ms": 100}
    plan = plan_model(spec_of(traffic, memory_mib=1769), manifest_of(), PRICES, PLAIN)
    # 2 busy: 2 + 3 x sqrt(2) + 1 = 7.2; a function URL takes 10 requests a second for each: (100 + 30) / 10.
    assert plan.chosen.concurrency == 13
    assert plan.chosen.requests_per_second >= 100
    assert plan.chosen.cost.requests == pytest.approx(0.5256)


def test_a_reserved_concurrency_that_the_table_states_is_kept() -> None:
    plan = plan_model(spec_of(ONE_A_SECOND, concurrency=50), manifest_of(), PRICES, PLAIN)
    assert plan.chosen.concurrency == 50


@pytest.mark.parametrize(
    ("concurrency", "most"),
    [
        # 20 ms each: mean + 3 x sqrt(mean) of those that are busy leaves one free, at 0.0917 busy, 4.58 a second.
        (2, 4.583),
        # A function URL takes 500 a second: 437.3 + 3 x sqrt(437.3).
        (50, 437.3),
    ],
)
def test_what_can_be_taken_is_that_of_the_concurrency_that_the_table_states(concurrency: int, most: float) -> None:
    plan = plan_model(spec_of(ONE_A_SECOND, memory_mib=1769, concurrency=concurrency), manifest_of(), PRICES, PLAIN)
    function = option_of(plan, "lambda x86_64 1769 MiB")
    assert (function.concurrency, function.requests_per_second) == (concurrency, pytest.approx(most, rel=1e-3))


def test_a_stated_concurrency_that_is_too_little_is_shown_with_what_it_takes() -> None:
    with pytest.raises(UnmetDemandError) as refused:
        plan_model(spec_of({**ONE_A_SECOND, "requests_per_second": 100}, concurrency=5), manifest_of(), PRICES, PLAIN)
    assert all(option.requests_per_second < 100 for option in refused.value.options)


def test_an_endpoint_takes_no_more_than_the_function_before_it() -> None:
    table = {"target": "gpu", "instance_type": "ml.g6.xlarge", "mode": "realtime", "concurrency": 2}
    endpoint = plan_model(spec_of(ONE_A_SECOND, **table), manifest_of(instruction_sets=("cuda",)), PRICES, PLAIN).chosen
    # 20 a second by the function's URL: 10.35 + 3 x sqrt(10.35). The instance alone would take far more.
    assert endpoint.requests_per_second == pytest.approx(10.35, rel=1e-3)
    assert endpoint.each_per_second > 1000


def test_rare_requests_meet_cold_starts_and_the_p95_says_so() -> None:
    traffic = {"requests_per_second": 1 / 3600, "p95_ms": 5000}
    plan = plan_model(spec_of(traffic, memory_mib=1769), manifest_of(weights_mib=1), PRICES)
    cold = option_of(plan, "lambda x86_64 1769 MiB")
    assert cold.cold_start_share > 0.9
    assert cold.p95_ms >= 500 + 720 + 20
    warm = option_of(plan, "lambda x86_64 1769 MiB provisioned 1")
    assert warm.p95_ms < 100


def test_arm64_is_offered_where_it_was_measured() -> None:
    built = manifest_of(instruction_sets=("arm64",)).model_copy(update={"target": "arm64"})
    plan = plan_model(spec_of(ONE_A_SECOND), built, PRICES, PLAIN)
    assert plan.chosen.architecture == "arm64"
    plan = plan_model(spec_of(ONE_A_SECOND), manifest_of(), PRICES, PLAIN)
    assert {option.architecture for option in plan.options} == {"x86_64", None}
    assert any(note.startswith("arm64 functions are not offered") for note in plan.notes)


def test_gpus_are_estimated_and_say_so() -> None:
    plan = plan_model(spec_of(ONE_A_SECOND), manifest_of(), PRICES, PLAIN)
    gpu = option_of(plan, "ml.g4dn.xlarge realtime")
    assert gpu.estimated
    assert not gpu.can_be_chosen
    assert "no CUDA variant" in (gpu.why_not or "")
    built = manifest_of(instruction_sets=("x86_64-vnni",)).model_copy(update={"target": "cuda"})
    chosen = plan_model(spec_of(ONE_A_SECOND, target="gpu"), built, PRICES, PLAIN).chosen
    assert (chosen.instance_type, chosen.mode, chosen.instances_min) == ("ml.g4dn.xlarge", "realtime", 1)


def test_p95_is_the_spread_and_the_longest_pause() -> None:
    spread = replace(PLAIN, p95_over_p50=1.5, throttle_period_ms=20)
    plan = plan_model(spec_of(ONE_A_SECOND), manifest_of(), PRICES, spread)
    assert option_of(plan, "lambda x86_64 1769 MiB").p95_ms == pytest.approx(30)
    half = option_of(plan, "lambda x86_64 1024 MiB")
    assert half.p95_ms == pytest.approx(20 * 1769 / 1024 * 1.5 + 20 * (1 - 1024 / 1769))


def test_an_endpoint_that_the_table_fixes_is_kept() -> None:
    built = manifest_of(instruction_sets=("x86_64-vnni",)).model_copy(update={"target": "cuda"})
    traffic = {"requests_per_second": 1, "p95_ms": 5000}
    spec = spec_of(traffic, target="gpu", instance_type="ml.g6.xlarge", mode="asynchronous")
    plan = plan_model(spec, built, PRICES, PLAIN)
    assert [option.name for option in plan.options] == ["ml.g6.xlarge asynchronous"]


def test_no_demand_costs_next_to_nothing() -> None:
    plan = plan_model(spec_of({"requests_per_second": 0, "p95_ms": 5000}), manifest_of(), PRICES)
    assert plan.chosen.monthly_usd == 0
    assert plan.chosen.cold_start_share == 1
