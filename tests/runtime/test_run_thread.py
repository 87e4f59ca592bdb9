"""Graphs of a card are run by few threads, however many ask."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, get_ident

import pytest

from layers.runtime.run_thread import RunThread, stay


def test_the_first_thread_runs_by_itself() -> None:
    assert RunThread().run(get_ident) == get_ident()


def test_all_others_run_on_one_more() -> None:
    thread, together = RunThread(), Barrier(8)
    thread.run(get_ident)

    def ask() -> tuple[int, int]:
        together.wait()
        return get_ident(), thread.run(get_ident)

    with ThreadPoolExecutor(8) as pool:
        asked = [future.result() for future in [pool.submit(ask) for _ in range(8)]]
    assert len({asker for asker, _ in asked}) == 8
    [runner] = {runner for _, runner in asked}
    assert runner not in {get_ident(), *(asker for asker, _ in asked)}


def test_a_thread_that_stays_runs_by_itself() -> None:
    thread = RunThread()
    thread.run(get_ident)

    def ask() -> tuple[int, int]:
        stay()
        return get_ident(), thread.run(get_ident)

    with ThreadPoolExecutor(1) as pool:
        asker, runner = pool.submit(ask).result()
    assert asker == runner


def test_what_goes_wrong_on_the_other_thread_is_the_callers() -> None:
    thread = RunThread()
    thread.run(get_ident)
    with ThreadPoolExecutor(1) as pool, pytest.raises(ZeroDivisionError):
        pool.submit(thread.run, lambda: 1 // 0).result()
