"""Requests that come when they like: joined up to a budget, oldest first, long ones in turns."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from layers.errors import InputError
from layers.runtime.alignment import Encoding
from layers.runtime.batched import BatchedPredictor, batched
from layers.runtime.batcher import Batcher
from layers.runtime.engine import Engine, Outputs
from layers.runtime.predictor import Predictor
from layers.runtime.run import Prediction
from layers.runtime.settings import Settings
from layers.runtime.together import Demand
from tests.runtime.generation.toy_decoder import ToyDecoder, write_toy_decoder
from tests.runtime.toy_artifact import Toy, write_toy

WAIT_SECONDS = 20
TEXTS = ["an editor", "a much longer description of a library for reading files", "editor " * 40, ""]


class Work:
    """What demands have done: keeps the items of every call, and each call waits until it is let through."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.begun = threading.Semaphore(0)
        self.let = threading.Semaphore(0)

    def do(self, items: Sequence[str]) -> list[str]:
        self.calls.append(list(items))
        self.begun.release()
        assert self.let.acquire(timeout=WAIT_SECONDS)
        if "bad" in items:
            raise ZeroDivisionError(f"{len(items)} items")
        return [item.upper() for item in items]


@pytest.fixture
def work() -> Work:
    return Work()


class Clients:
    """Asks on threads of its own, in order."""

    def __init__(self, batcher: Batcher, work: Work) -> None:
        self._batcher, self._work = batcher, work
        self._threads = ThreadPoolExecutor(16)

    def ask(self, *items: str, kind: str = "one") -> Future[tuple[list[Any], float]]:
        before = len(self._batcher)
        asked = self._threads.submit(self._batcher.ask, Demand(kind, items, self._work.do))
        while not asked.done() and len(self._batcher) == before and self._work.begun._value == 0:
            threading.Event().wait(0.001)
        return asked


def occupied(batcher: Batcher, work: Work) -> Clients:
    """Clients of a batcher that is at work on another's demand."""
    clients = Clients(batcher, work)
    clients.ask("first")
    assert work.begun.acquire(timeout=WAIT_SECONDS)
    return clients


def values(asked: Future[tuple[list[Any], float]]) -> list[Any]:
    return asked.result(WAIT_SECONDS)[0]


def test_what_waits_is_done_in_one_call(work: Work) -> None:
    clients = occupied(Batcher(turn_tokens=100, wait_seconds=0, max_waiting=9), work)
    asked = [clients.ask("a"), clients.ask("bb", "cc"), clients.ask("d")]
    work.let.release(9)
    assert [values(one) for one in asked] == [["A"], ["BB", "CC"], ["D"]]
    assert work.calls == [["first"], ["a", "bb", "cc", "d"]]


def test_a_turn_keeps_to_the_budget_and_to_age(work: Work) -> None:
    clients = occupied(Batcher(turn_tokens=6, wait_seconds=0, max_waiting=9), work)
    asked = [clients.ask("aaaa"), clients.ask("bbbb"), clients.ask("c")]
    work.let.release(9)
    assert [values(one) for one in asked] == [["AAAA"], ["BBBB"], ["C"]]
    # The last would have fitted into the first turn, before one that came earlier.
    assert work.calls == [["first"], ["aaaa"], ["bbbb", "c"]]


def test_a_long_request_lets_others_through_and_is_finished(work: Work) -> None:
    clients = occupied(Batcher(turn_tokens=4, wait_seconds=0, max_waiting=9), work)
    asked = [clients.ask("aa", "bb", "cc", "dd", "ee"), clients.ask("x"), clients.ask("y")]
    work.let.release(9)
    assert [values(one) for one in asked] == [["AA", "BB", "CC", "DD", "EE"], ["X"], ["Y"]]
    assert work.calls == [["first"], ["aa", "bb"], ["x", "y"], ["cc", "dd"], ["ee"]]


def test_one_item_longer_than_a_turn_is_done(work: Work) -> None:
    clients = occupied(Batcher(turn_tokens=4, wait_seconds=0, max_waiting=9), work)
    asked = clients.ask("aaaaaaaaa", "b")
    work.let.release(9)
    assert values(asked) == ["AAAAAAAAA", "B"]


def test_kinds_are_not_mixed(work: Work) -> None:
    clients = occupied(Batcher(turn_tokens=100, wait_seconds=0, max_waiting=9), work)
    asked = [clients.ask("a"), clients.ask("b", kind="other"), clients.ask("c")]
    work.let.release(9)
    assert [values(one) for one in asked] == [["A"], ["B"], ["C"]]
    assert work.calls == [["first"], ["a", "c"], ["b"]]


def test_a_failure_is_its_own(work: Work) -> None:
    clients = occupied(Batcher(turn_tokens=100, wait_seconds=0, max_waiting=9), work)
    good, bad = clients.ask("a"), clients.ask("bad")
    work.let.release(9)
    assert values(good) == ["A"]
    with pytest.raises(ZeroDivisionError, match="1 items"):
        values(bad)
    assert values(clients.ask("after")) == ["AFTER"]


def test_the_queue_is_bounded(work: Work) -> None:
    clients = occupied(Batcher(turn_tokens=100, wait_seconds=0, max_waiting=2), work)
    asked = [clients.ask("a"), clients.ask("b")]
    with pytest.raises(InputError, match="the model is busy") as refused:
        values(clients.ask("c"))
    assert (refused.value.status, refused.value.error_type) == (429, "overloaded")
    work.let.release(9)
    assert [values(one) for one in asked] == [["A"], ["B"]]


def test_a_run_that_is_coming_is_waited_for(work: Work) -> None:
    batcher = Batcher(turn_tokens=100, wait_seconds=WAIT_SECONDS, max_waiting=9)
    work.let.release(9)
    with batcher.attended() as coming:
        early = Clients(batcher, work).ask("early")
        assert not work.begun.acquire(timeout=0.05)
        assert coming.ask(Demand("one", ["late"], work.do))[0] == ["LATE"]
    assert values(early) == ["EARLY"]
    assert work.calls == [["early", "late"]]


def test_a_run_that_leaves_is_not_waited_for(work: Work) -> None:
    batcher = Batcher(turn_tokens=100, wait_seconds=WAIT_SECONDS, max_waiting=9)
    work.let.release(9)
    with batcher.attended():
        early = Clients(batcher, work).ask("early")
        assert not work.begun.acquire(timeout=0.05)
    assert values(early) == ["EARLY"]


def test_nobody_is_waited_for_beyond_the_deadline(work: Work) -> None:
    batcher = Batcher(turn_tokens=100, wait_seconds=0.01, max_waiting=9)
    work.let.release(9)
    with batcher.attended():
        assert values(Clients(batcher, work).ask("a")) == ["A"]


def test_nobody_is_waited_for_longer_than_a_turn_takes(work: Work) -> None:
    batcher = Batcher(turn_tokens=100, wait_seconds=10 * WAIT_SECONDS, max_waiting=9)
    clients = Clients(batcher, work)
    work.let.release(9)
    assert values(clients.ask("a")) == ["A"]
    with batcher.attended():
        assert values(clients.ask("b")) == ["B"]


class CountingEngine(Engine):
    """Counts the texts of each call; the first call waits until the others have asked."""

    calls: list[int]
    gate: threading.Event

    def forward(self, encodings: Sequence[Encoding], outputs: Sequence[str] | None = None) -> list[Outputs]:
        self.calls.append(len(encodings))
        assert self.gate.wait(WAIT_SECONDS)
        return super().forward(encodings, outputs)


def numbers(value: Any) -> list[float]:
    """Every number of an answer, in order."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [number for item in value for number in numbers(item)]
    return [value] if isinstance(value, float) else []


@pytest.mark.parametrize("row_independent", [True, False])
def test_answers_are_those_of_each_alone(tmp_path: Path, row_independent: bool) -> None:
    toy = write_toy(tmp_path / "toy", row_independent=row_independent)
    engine = CountingEngine.load(toy.directory, threads=1)
    assert isinstance(engine, CountingEngine)
    engine.calls, engine.gate = [], threading.Event()
    batcher = Batcher(turn_tokens=4096, wait_seconds=WAIT_SECONDS, max_waiting=64)
    predictor, requests = BatchedPredictor(engine, batcher), [*TEXTS, TEXTS, ["an editor"] * 3, 7]
    with ThreadPoolExecutor(len(requests)) as clients:
        answers = [clients.submit(predictor.predict, request) for request in requests]
        while len(batcher) + len(engine.calls) < 1:
            threading.Event().wait(0.001)
        engine.gate.set()
        for request, answer in zip(requests[:-1], answers, strict=False):
            alone = Predictor(engine).predict(request)
            together = answer.result(WAIT_SECONDS)
            assert isinstance(together, Prediction)
            np.testing.assert_allclose(numbers(together.value), numbers(alone.value), rtol=1e-4, atol=1e-5)
            assert together.token_count == alone.token_count
            assert min(together.tokenization_ms, together.inference_ms, together.postprocessing_ms) >= 0
        with pytest.raises(InputError, match="got a number"):
            answers[-1].result(WAIT_SECONDS)


def test_only_models_that_read_are_batched_and_only_when_asked(tmp_path: Path, toy: Toy) -> None:
    writer: ToyDecoder = write_toy_decoder(tmp_path / "writer")
    settings = Settings(artifact_dir=tmp_path, batch_wait_ms=2)  # type: ignore[call-arg]
    reading, writing = Predictor.load(toy.directory, threads=1), Predictor.load(writer.directory, threads=1)
    assert isinstance(batched(reading, settings), BatchedPredictor)
    assert batched(writing, settings) is writing
    assert batched(reading, Settings(artifact_dir=tmp_path)) is reading  # type: ignore[call-arg]


def test_a_batched_predictor_is_warm(toy: Toy) -> None:
    engine = CountingEngine.load(toy.directory, threads=1)
    assert isinstance(engine, CountingEngine)
    engine.calls, engine.gate = [], threading.Event()
    engine.gate.set()
    batched(Predictor(engine), Settings(artifact_dir=toy.directory, batch_wait_ms=2))  # type: ignore[call-arg]
    assert engine.calls == [1]
