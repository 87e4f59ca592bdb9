"""Planning with the time that is left, from what was measured so far."""

from __future__ import annotations

from math import inf
from time import perf_counter

import pytest

from functions.remaining import FIRST_COUNT, Pace, RemainingTime, work_units
from tests.functions.fakes import FakeContext


def ago(seconds: float) -> float:
    return perf_counter() - seconds


def test_a_few_are_tried_before_anything_was_measured() -> None:
    assert Pace().count_within([1.0] * 100, 10) == FIRST_COUNT
    assert Pace().count_within([1.0] * 3, 10) == 3
    assert Pace().count_within([1.0] * 100, 0) == 0


def test_what_was_measured_bounds_what_is_started() -> None:
    pace = Pace()
    pace.learn(100, ago(100))
    assert pace.count_within([1.0] * 100, 40) in (29, 30)
    assert pace.count_within([10.0, 10.0, 10.0, 1.0], 40) in (2, 3)
    assert pace.count_within([100.0], 40) == 0
    assert pace.count_within([1.0] * 5, inf) == 5


def test_slower_counts_at_once_and_faster_by_and_by() -> None:
    pace = Pace()
    pace.learn(100, ago(1))
    pace.learn(100, ago(100))
    slow = pace.count_within([1.0] * 1000, 40)
    pace.learn(100, ago(0.001))
    assert slow < pace.count_within([1.0] * 1000, 40) < 2 * slow


def test_time_is_kept_for_answering() -> None:
    assert RemainingTime(FakeContext(10), 2.0).seconds() == 8
    assert RemainingTime(FakeContext(10), 2.0).until_killed() == 10
    assert RemainingTime(None, 2.0).seconds() == inf


@pytest.mark.parametrize("parameters", [None, {}, {"max_new_tokens": "many"}, {"max_new_tokens": -5}])
def test_work_grows_with_bytes_and_with_tokens_to_write(parameters: object) -> None:
    assert work_units(1000, parameters) == 1256
    assert work_units(1000, {"max_new_tokens": 100}) == 1256 + 6400
