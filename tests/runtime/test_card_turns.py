"""While a graph is captured nobody else uses the card; everything else goes on side by side."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event

from layers.runtime.card_turns import Turns

WAIT_SECONDS = 20


def test_many_share() -> None:
    turns, together = Turns(), Barrier(4)

    def share() -> None:
        with turns.shared():
            together.wait(WAIT_SECONDS)

    with ThreadPoolExecutor(4) as threads:
        for future in [threads.submit(share) for _ in range(4)]:
            future.result(WAIT_SECONDS)


def test_one_is_alone_and_goes_before_those_who_come_later() -> None:
    turns, order = Turns(), list[str]()
    inside, leave, wanted = Event(), Event(), Event()

    def early() -> None:
        with turns.shared():
            inside.set()
            assert leave.wait(WAIT_SECONDS)
            order.append("early")

    def capture() -> None:
        wanted.set()
        with turns.alone():
            order.append("alone")

    def late() -> None:
        with turns.shared():
            order.append("late")

    with ThreadPoolExecutor(3) as threads:
        first = threads.submit(early)
        assert inside.wait(WAIT_SECONDS)
        second = threads.submit(capture)
        assert wanted.wait(WAIT_SECONDS)
        while not turns.somebody_waits:
            pass
        third = threads.submit(late)
        leave.set()
        for future in (first, second, third):
            future.result(WAIT_SECONDS)
    assert order == ["early", "alone", "late"]


def test_what_goes_wrong_ends_the_turn() -> None:
    turns = Turns()
    for enter in (turns.shared, turns.alone):
        try:
            with enter():
                raise ZeroDivisionError
        except ZeroDivisionError:
            pass
    with turns.alone():
        pass
