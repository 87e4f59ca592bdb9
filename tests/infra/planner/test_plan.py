"""The plan: what is chosen, what it costs to the cent, and what is refused."""

from __future__ import annotations

import pytest

from infra.planner import PriceTable, UnmetDemandError, plan_model
from infra.planner.assumptions import Assumptions
from infra.planner.option import Option
from tests.infra.planner.manifests import manifest_of, spec_of

PRICES = PriceTable.read()
# No overhead and no spread: what is left is arithmetic.
PLAIN = Assumptions(p95_over_p50=1, request_overhead_ms=0)


def test_a_function_costs_what_the_price_list_says() -> None:
    # 1 request a second of 20 ms at 1,769 MiB, for 730 hours: 2,628,000 requests.
    spec = spec_of({"requests_per_second": 1, "p95_ms": 100}, memory_mib=1769, architecture="x86_64")
    plan = plan_model(spec, manifest_of(), PRICES, PLAIN)
    assert plan.chosen.name == "lambda x86_64 1769 MiB"
    assert plan.chosen.p50_ms == pytest.approx(20)
    assert plan.chosen.cost.requests == pytest.approx(2.628 * 0.20)
    # 2,628,000 x 0.02 s x 1.7275 GB x $0.0000166667, and at most 4 cold starts an hour (300 s x e) of 0.748 s.
    warm = 2_628_000 * 0.02 * 1769 / 1024 * 0.0000166667
    assert warm < plan.chosen.cost.compute < warm * 1.1


def test_the_cheapest_that_meets_the_target_is_chosen() -> None:
    plan = plan_model(spec_of({"p95_ms": 50}), manifest_of(), PRICES, PLAIN)
    meeting = [option for option in plan.options if option.meets_target]
    assert plan.chosen.meets_target
    assert plan.chosen.monthly_usd == min(option.monthly_usd for option in meeting)
    assert plan.chosen.why_not is None
    assert all(option.why_not for option in plan.options if option != plan.chosen)


def test_what_cannot_be_met_is_refused() -> None:
    with pytest.raises(UnmetDemandError, match="p95 1 ms") as refused:
        plan_model(spec_of({"p95_ms": 1}), manifest_of(), PRICES)
    assert refused.value.options
    assert not any(option.meets_target for option in refused.value.options)


def test_an_option_survives_json() -> None:
    option = plan_model(spec_of(), manifest_of(), PRICES).chosen
    assert Option.from_json(option.as_json()) == option
