"""Warming: done, not begun, or left behind, by a clock that the test sets."""

from __future__ import annotations

import threading

import pytest

from layers.runtime.predictor import Predictor
from layers.runtime.warming import warm
from tests.runtime.toy_artifact import Toy


def test_without_a_limit_it_is_done() -> None:
    ran: list[bool] = []
    assert warm(lambda: ran.append(True))
    assert ran == [True]


def test_with_time_left_it_is_done() -> None:
    ran: list[bool] = []
    assert warm(lambda: ran.append(True), until=60, clock=lambda: 0.0)
    assert ran == [True]


def test_with_no_time_left_it_is_not_begun() -> None:
    ran: list[bool] = []
    assert not warm(lambda: ran.append(True), until=8, clock=lambda: 8.5)
    assert ran == []


def test_what_takes_longer_is_not_waited_for() -> None:
    enough = threading.Event()
    done = threading.Event()

    def forever() -> None:
        enough.wait(60)
        done.set()

    assert not warm(forever, until=0.01, clock=lambda: 0.0)
    enough.set()
    assert done.wait(60)


@pytest.mark.parametrize("until", [None, 60.0])
def test_a_model_that_fails_to_warm_up_fails_to_load(until: float | None) -> None:
    def broken() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        warm(broken, until, clock=lambda: 0.0)


@pytest.mark.parametrize(("until", "warmed"), [(None, True), (0.0, False)])
def test_a_predictor_says_whether_it_is_warm_and_answers_either_way(
    toy: Toy, until: float | None, warmed: bool
) -> None:
    predictor = Predictor.load(toy.directory, warm_until=until)
    assert predictor.warmed is warmed
    assert predictor.predict("an editor").value
