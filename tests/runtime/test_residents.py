"""What is loaded when, and what is given up for it."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Event, Thread

import pytest

from layers.runtime.memory import memory_bytes
from layers.runtime.residents import Residents


class Shelf:
    """Loads names as themselves in capitals, and keeps the order."""

    def __init__(self, budget: int) -> None:
        self.loads: list[str] = []
        self.residents = Residents(self.load, {"a": 4, "b": 4, "c": 4, "large": 40}, budget)

    def load(self, name: str) -> str:
        self.loads.append(name)
        return name.upper()

    def use(self, *names: str) -> None:
        for name in names:
            with self.residents.held(name) as loaded:
                assert loaded == name.upper()

    def loaded(self) -> set[str]:
        return {name for name in ("a", "b", "c", "large") if self.residents.loaded(name) is not None}


def test_nothing_is_loaded_until_it_is_used_and_then_once() -> None:
    shelf = Shelf(8)
    assert shelf.loaded() == set()
    shelf.use("a", "a", "b", "a")
    assert shelf.loads == ["a", "b"]


def test_the_least_recently_used_is_given_up() -> None:
    shelf = Shelf(8)
    shelf.use("a", "b", "a", "c")
    assert shelf.loaded() == {"a", "c"}
    shelf.use("b")
    assert (shelf.loaded(), shelf.loads) == ({"b", "c"}, ["a", "b", "c", "b"])


def test_what_is_in_use_is_never_given_up() -> None:
    shelf = Shelf(8)
    with shelf.residents.held("a"):
        shelf.use("b", "c")
        assert shelf.loaded() == {"a", "c"}
        with shelf.residents.held("c"), shelf.residents.held("b"):
            assert shelf.loaded() == {"a", "b", "c"}
        assert shelf.loaded() == {"a", "b"} or shelf.loaded() == {"a", "c"}


def test_what_is_larger_than_the_budget_is_loaded_alone_and_not_kept() -> None:
    shelf = Shelf(8)
    shelf.use("a")
    with shelf.residents.held("large"):
        assert shelf.loaded() == {"large"}
    assert shelf.loaded() == set()


def test_a_load_that_fails_is_tried_again_and_takes_no_room() -> None:
    attempts: list[str] = []

    def load(name: str) -> str:
        attempts.append(name)
        if attempts == ["a"]:
            raise OSError("not today")
        return name

    residents = Residents(load, {"a": 1}, 1)
    with pytest.raises(OSError, match="not today"), residents.held("a"):
        pass
    with residents.held("a") as loaded:
        assert loaded == "a"


def test_whoever_asks_during_a_load_waits_for_it() -> None:
    loads: list[str] = []
    begun, go_on, together = Event(), Event(), Barrier(8)

    def load(name: str) -> str:
        loads.append(name)
        begun.set()
        assert go_on.wait(30)
        return name

    residents = Residents(load, {"a": 1}, 1)

    def use() -> str:
        together.wait(30)
        with residents.held("a") as loaded:
            return loaded

    with ThreadPoolExecutor(8) as threads:
        waiting = [threads.submit(use) for _ in range(8)]
        assert begun.wait(30)
        go_on.set()
        assert [one.result() for one in waiting] == ["a"] * 8
    assert loads == ["a"]


def test_threads_in_any_order_get_what_they_ask_for() -> None:
    shelf = Shelf(8)
    with ThreadPoolExecutor(6) as threads:
        list(threads.map(shelf.use, ["a", "b", "c", "large"] * 200))
    assert len(shelf.loaded()) <= 2


def test_what_is_loaded_can_be_asked_while_it_is_taken_into_use() -> None:
    residents = Residents(str.upper, {"a": 1}, 1)
    asked: list[Future[str | None]] = []

    def ask() -> None:
        answer: Future[str | None] = Future()
        asked.append(answer)
        try:
            answer.set_result(residents.loaded("a"))
        except KeyError as error:
            answer.set_exception(error)

    threads: list[Thread] = []

    class Name(str):
        """Is looked up, then stored: between the two, when it is hashed, others ask."""

        __slots__ = ()

        def __hash__(self) -> int:
            thread = Thread(target=ask)
            threads.append(thread)
            thread.start()
            thread.join(0.1)
            return str.__hash__(self)

    with residents.held(Name("a")):
        pass
    for thread in threads:
        thread.join(30)
    assert len(asked) == len(threads) > 1
    assert {answer.result(30) for answer in asked} <= {None, "A"}


@pytest.mark.parametrize(
    ("files", "function_mib", "expected"),
    [
        ({}, "", None),
        ({"cgroup/memory.max": "max\n", "meminfo": "MemTotal:  2048 kB\nMemFree: 1 kB\n"}, "", 2**21),
        ({"cgroup/memory.max": "1000\n", "meminfo": "MemTotal:  2048 kB\n"}, "512", 1000),
        ({"cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, "512", 2**29),
    ],
)
def test_memory_is_the_least_that_anything_allows(
    files: dict[str, str], function_mib: str, expected: int | None, tmp_path: Path
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="ascii")
    environment = {"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": function_mib}
    assert memory_bytes(environment, tmp_path / "cgroup", tmp_path / "meminfo") == expected
