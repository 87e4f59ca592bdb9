"""Objects in parts: handed on, resumed, at work on twice, changed meanwhile; and their events out of order."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from functions.bucket.folder_store import FolderStore
from functions.bucket.function import UnfinishedError
from functions.bucket.notices import is_older
from functions.bucket.object_work import Limits
from functions.bucket.store import ObjectInfo
from tests.functions.bucket_setup import Setup, event_of
from tests.functions.fakes import FakeContext


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    return Setup(tmp_path)


def hundred(setup: Setup) -> list[tuple[int, Any, Any]]:
    setup.put("a.txt", "".join(f"text {n}\n" for n in range(1, 101)))
    return [(n, None, f"TEXT {n}") for n in range(1, 101)]


def test_a_large_object_is_kept_in_parts(setup: Setup) -> None:
    expected = hundred(setup)
    setup.limits = Limits(60.0, 1)
    assert setup.handle("a.txt") == "complete"
    assert len(setup.summary("a.txt")["parts"]) > 1
    assert setup.outputs("a.txt") == expected


def test_the_rest_is_handed_on_and_worked_off(setup: Setup) -> None:
    expected = hundred(setup)
    status, rounds = "", 0
    while status != "complete":
        context = FakeContext(10.0)
        setup.models.before = lambda: setattr(context, "seconds", context.seconds - 8.5)  # noqa: B023
        event = setup.handed_on.pop() if setup.handed_on else event_of("a.txt")
        status = setup.function.handle(event, context)["objects"][0]["status"]
        rounds += 1
        assert rounds < 20
    assert rounds == 100 // 8 + 1
    assert setup.outputs("a.txt") == expected
    assert setup.summary("a.txt")["counts"]["records"] == 100


def test_without_a_queue_the_next_delivery_goes_on(setup: Setup) -> None:
    expected = hundred(setup)
    setup.has_queue = False
    context = FakeContext(10.0)
    setup.models.before = lambda: setattr(context, "seconds", 1.0)
    with pytest.raises(UnfinishedError, match="HUNDREDFOLD_RANGES_QUEUE_URL"):
        setup.handle("a.txt", context)
    with pytest.raises(UnfinishedError, match="no time was left"):
        setup.handle("a.txt", FakeContext(1.0))
    setup.models.before = lambda: None
    assert setup.handle("a.txt") == "complete"
    assert setup.outputs("a.txt") == expected
    assert sum(len(group) for group in setup.models.groups) == 100


def test_a_crash_repeats_one_part_at_most(setup: Setup) -> None:
    expected = hundred(setup)
    setup.limits = Limits(60.0, 1)
    calls: list[int] = []

    def crash() -> None:
        calls.append(1)
        if len(calls) in (2, 4):
            raise MemoryError

    setup.models.before = crash
    for _ in range(2):
        with pytest.raises(MemoryError):
            setup.handle("a.txt")
    assert setup.handle("a.txt") == "complete"
    assert setup.outputs("a.txt") == expected
    assert sum(len(group) for group in setup.models.groups) == 100


def test_two_at_work_on_one_object_do_not_double_its_results(setup: Setup) -> None:
    expected = hundred(setup)
    setup.limits = Limits(60.0, 1)
    other = Setup(setup.directory, limits=Limits(60.0, 700))
    turns: list[str] = []

    def meanwhile() -> None:
        if not turns:
            turns.append(other.handle("a.txt"))

    setup.models.before = meanwhile
    assert [setup.handle("a.txt"), *turns] == ["complete", "complete"]
    assert setup.outputs("a.txt") == expected


def test_a_duplicate_event_is_not_computed_again(setup: Setup) -> None:
    hundred(setup)
    assert [setup.handle("a.txt"), setup.handle("a.txt")] == ["complete", "complete"]
    assert sum(len(group) for group in setup.models.groups) == 100


def test_another_model_and_another_object_are_computed_anew(setup: Setup) -> None:
    setup.put("a.txt", "a\n")
    setup.handle("a.txt")
    setup.digest = "d2"
    setup.handle("a.txt")
    setup.put("a.txt", "b\nc\n")
    setup.handle("a.txt", sequencer="0A1B2C3D4E5F678902")
    assert setup.models.groups == [["a"], ["a"], ["b", "c"]]
    assert setup.outputs("a.txt") == [(1, None, "B"), (2, None, "C")]


def test_an_older_event_changes_nothing(setup: Setup) -> None:
    setup.put("a.txt", "a\n")
    setup.handle("a.txt", sequencer="0A")
    setup.digest = "d2"
    assert setup.handle("a.txt", sequencer="09FF") == "superseded"
    assert setup.summary("a.txt")["digest"] == "d1"


@pytest.mark.parametrize(("one", "other", "older"), [("0A", "0A00", False), ("0A", "0B", True), ("0A01", "0A", False)])
def test_sequencers_are_padded_on_the_right(one: str, other: str, older: bool) -> None:
    assert is_older(one, other) is older


def test_an_object_that_changes_meanwhile_is_left_to_its_next_event(setup: Setup) -> None:
    setup.put("a.txt", ("a" * 900 + "\n") * 2000)

    def overwrite() -> None:
        setup.put("a.txt", "b\n")

    setup.models.before = overwrite
    assert setup.handle("a.txt") == "superseded"
    assert not (setup.results("a.txt") / "summary.json").exists()


class RewritingStore(FolderStore):
    """Somebody else writes an object once, after it was looked up and before it is read."""

    rewrites = 1

    def read(self, bucket: str, key: str, info: ObjectInfo, start: int, length: int) -> bytes:
        if self.rewrites:
            self.rewrites = 0
            self._path(bucket, key).write_text('{"run": "another", "status": "complete"}', encoding="utf-8")
        return super().read(bucket, key, info, start, length)


def test_a_summary_that_is_written_while_it_is_read_loses_no_event(setup: Setup) -> None:
    setup.put("a.txt", "a\n")
    setup.handle("a.txt")
    setup.digest = "d2"
    function = replace(setup.function, results=RewritingStore(setup.directory))
    assert function.handle(event_of("a.txt"), None)["objects"][0]["status"] == "complete"
    assert setup.summary("a.txt")["digest"] == "d2"
