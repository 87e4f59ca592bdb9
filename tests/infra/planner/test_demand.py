"""What a stream of requests does to environments, against textbook formulas."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.planner.demand import Demand, billed_cold_rate, cold_share, environments, mean_below, most_of
from layers.catalogue import TrafficSpec

RATES = st.floats(1e-4, 200)
SECONDS = st.floats(1e-3, 2)


def erlang_b(load: float, servers: int) -> float:
    """Share of requests that find all servers busy, from the sum over states."""
    logs = [state * math.log(load) - math.lgamma(state + 1) for state in range(servers + 1)]
    most = max(logs)
    weights = [math.exp(value - most) for value in logs]
    return weights[-1] / sum(weights)


@given(RATES, SECONDS)
def test_environments_serve_everything_between_them(rate: float, seconds: float) -> None:
    assert sum(one.served for one in environments(rate, seconds)) == pytest.approx(rate, rel=1e-4, abs=1e-6)


@given(st.floats(0.01, 50), st.integers(1, 60))
def test_what_misses_the_first_environments_is_erlangs(load: float, servers: int) -> None:
    missed = [one.missed_before for one in environments(load, 1.0)]
    if servers < len(missed):
        assert missed[servers] == pytest.approx(erlang_b(load, servers), rel=1e-6, abs=1e-9)


def test_rare_requests_start_cold_and_frequent_ones_do_not() -> None:
    # Once an hour, environments live 5 minutes: e^(-1/12) find none.
    assert cold_share(1 / 3600, 0.001, 300) == pytest.approx(math.exp(-1 / 12), rel=1e-3)
    assert cold_share(10, 0.01, 300) < 0.01
    assert cold_share(0, 1, 300) == 1


def test_provisioned_environments_never_start_cold() -> None:
    assert cold_share(1 / 3600, 0.001, 300, provisioned=1) < 1e-6
    assert cold_share(0, 1, 300, provisioned=1) == 0
    assert billed_cold_rate(1 / 3600, 0.001, 300, provisioned=1) < 1e-9


@given(RATES, st.floats(1, 10), SECONDS)
def test_cold_starts_that_are_billed_only_rise_with_demand(rate: float, factor: float, seconds: float) -> None:
    at_least = cold_share(rate, seconds, 300) * rate
    billed = billed_cold_rate(rate, seconds, 300)
    assert billed >= at_least * (1 - 1e-9)
    assert billed_cold_rate(rate * factor, seconds, 300) >= billed * (1 - 1e-9)


@given(st.floats(0, 1e4), st.floats(0, 5))
def test_the_mean_below_a_count_is_the_inverse_of_the_most_of_a_mean(mean: float, z: float) -> None:
    assert mean_below(most_of(mean, z), z) == pytest.approx(mean, rel=1e-6, abs=1e-6)


@given(st.floats(1e-3, 500))
def test_reserved_environments_refuse_next_to_nothing(load: float) -> None:
    reserved = math.ceil(most_of(load, 3) + 1)
    assert erlang_b(load, reserved) < 0.005


def test_a_day_has_busy_hours() -> None:
    day = Demand.of(TrafficSpec(requests_per_second=2, peak_requests_per_second=6, busy_hours_per_day=12))
    assert (day.rate, day.peak) == (2, 6)
    assert day.requests == pytest.approx(2 * 3600 * 12 * 365 / 12)
    assert day.scaled_to(4).peak == pytest.approx(12)
