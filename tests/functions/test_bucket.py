"""The bucket function over a fake model and folders: every format, parts, summaries, and what goes wrong."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pyarrow
import pytest
from pyarrow import parquet

from functions.bucket.folder_store import FolderStore
from functions.bucket.function import BucketFunction, Place, UnfinishedError
from functions.bucket.notices import is_older, read_deliveries
from functions.bucket.object_work import Limits
from functions.bucket.rows import Reading
from functions.bucket.store import ObjectInfo
from functions.bucket.summary import LISTED_FAILURES
from functions.emf import Metrics
from layers.errors import InputError
from tests.functions.conftest import read_event
from tests.functions.fakes import FakeContext, FakeModels

BUCKET = "toy-texts"


@dataclass
class Setup:
    """A function over folders, and what tests do with it."""

    directory: Path
    models: FakeModels = field(default_factory=FakeModels)
    handed_on: list[dict[str, Any]] = field(default_factory=list)
    limits: Limits = field(default_factory=lambda: Limits(60.0, 2**20))
    whole_text: bool = False
    parameters: Mapping[str, Any] = field(default_factory=dict)
    has_queue: bool = True
    digest: str = "d1"

    @property
    def function(self) -> BucketFunction:
        def hand_on(event: dict[str, Any], _: str | None) -> bool:
            self.handed_on += [event] if self.has_queue else []
            return self.has_queue

        store = FolderStore(self.directory)
        return BucketFunction(
            store, store, Place(None, "results/"), self.models, "toy", {"digest": self.digest},
            Reading("text", self.parameters, 1000, self.whole_text), self.limits, hand_on,
            Metrics("bucket", io.StringIO()), 2.0,
        )  # fmt: skip

    def put(self, key: str, content: bytes | str) -> None:
        path = self.directory / BUCKET / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)

    def handle(self, key: str, context: Any = None, **described: str) -> str:
        answer = self.function.handle(event_of(key, **described), context)
        return str(answer["objects"][0]["status"])

    def summary(self, key: str) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.results(key) / "summary.json").read_text(encoding="utf-8"))
        return content

    def results(self, key: str) -> Path:
        return self.directory / BUCKET / "results" / key

    def lines(self, key: str) -> list[dict[str, Any]]:
        """The results that the summary names, in order."""
        parts = [self.directory / BUCKET / part for part in self.summary(key)["parts"]]
        return [json.loads(line) for part in parts for line in part.read_text(encoding="utf-8").splitlines()]

    def outputs(self, key: str) -> list[tuple[int, Any, Any]]:
        """Line, id, and the output or the type of the error."""
        return [(r["line"], r.get("id"), r.get("outputs") or r["error_type"]) for r in self.lines(key)]


def event_of(key: str, **described: str) -> dict[str, Any]:
    event = read_event("s3")
    event["Records"][0]["s3"]["object"].update(key=quote_plus(key), **described)
    return event


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    return Setup(tmp_path)


JSONL = """\ufeff{"inputs": "a", "id": 7}
"b"

{"text": "c", "id": "x", "label": "ignored"}
not json
[1]
{"id": "y", "other": 1}
{"inputs": 7, "id": "z"}
{"inputs": "d", "model": "other"}
{"inputs": NaN}
"""
JSONL_RESULTS = [
    (1, 7, "A"), (2, None, "B"), (4, "x", "C"), (5, None, "malformed"), (6, None, "validation"),
    (7, "y", "validation"), (8, "z", "validation"), (9, None, "unknown_model"), (10, None, "malformed"),
]  # fmt: skip
CSV = 'id,text,other\r\n1,a,\r\n2,"b, ""quoted""\r\nover lines",x\r\n\r\n3,c\r\n4,d,x\r\n'
CSV_RESULTS = [(2, "1", "A"), (3, "2", 'B, "QUOTED"\r\nOVER LINES'), (6, None, "validation"), (7, "4", "D")]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("key", "content", "expected"),
    [
        ("in/a b+ü.jsonl", JSONL, JSONL_RESULTS),
        ("in/table.CSV", CSV, CSV_RESULTS),
        ("in/texts.txt", "a\r\nb\n\n  \nc", [(1, None, "A"), (2, None, "B"), (5, None, "C")]),
        ("one.txt", "a", [(1, None, "A")]),
    ],
)
def test_every_row_has_its_line_of_results(
    setup: Setup, key: str, content: str, expected: list[Any], packed: bool
) -> None:
    key += ".gz" if packed else ""
    raw = content.encode("utf-8")
    setup.put(key, gzip.compress(raw) if packed else raw)
    assert setup.handle(key) == "complete"
    assert setup.outputs(key) == expected
    summary = setup.summary(key)
    failed = [row for row in expected if not str(row[2]).isupper()]
    assert summary["counts"] == {
        "records": len(expected), "succeeded": len(expected) - len(failed), "failed": len(failed), "truncated": 0,
    }  # fmt: skip
    assert [failure["line"] for failure in summary["failures"]] == [row[0] for row in failed]
    assert summary["object"]["key"] == key
    assert summary["digest"] == "d1"
    assert summary["failures_not_listed"] == 0


def test_parquet_is_read_by_its_column(setup: Setup, tmp_path: Path) -> None:
    table = pyarrow.table({"id": range(5), "other": ["x"] * 5, "text": ["a", "b", None, "d", "e"]})
    parquet.write_table(table, tmp_path / "table.parquet", row_group_size=2)
    setup.put("in/table.parquet", (tmp_path / "table.parquet").read_bytes())
    setup.limits = Limits(60.0, 1)
    assert setup.handle("in/table.parquet") == "complete"
    expected = [(1, None, "A"), (2, 1, "B"), (3, 2, "validation"), (4, 3, "D"), (5, 4, "E")]
    assert [row[2] for row in setup.outputs("in/table.parquet")] == [row[2] for row in expected]
    assert [row["id"] for row in setup.lines("in/table.parquet")] == list(range(5))
    setup.put("bad.parquet", b"PAR1 but no more")
    assert setup.handle("bad.parquet") == "refused"
    setup.put("without.parquet", b"")
    parquet.write_table(pyarrow.table({"body": ["a"]}), tmp_path / "table.parquet")
    setup.put("without.parquet", (tmp_path / "table.parquet").read_bytes())
    assert setup.handle("without.parquet") == "refused"
    assert "no column 'text': got body" in setup.summary("without.parquet")["error"]


def test_a_text_object_may_be_one_document(setup: Setup) -> None:
    setup.whole_text = True
    setup.put("in/letter.txt", "dear\n\nsir")
    setup.put("in/book.txt", "x" * 1001)
    assert setup.handle("in/letter.txt") == "complete"
    assert setup.outputs("in/letter.txt") == [(1, None, "DEAR\n\nSIR")]
    setup.handle("in/book.txt")
    assert setup.outputs("in/book.txt") == [(1, None, "too_large")]


def test_parameters_of_the_setting_hold_where_a_row_states_none(setup: Setup) -> None:
    asked: list[Any] = []
    setup.parameters = {"top_k": 1}
    answer = setup.models.answer
    setup.models.answer = lambda rows: (asked.extend(row.request.parameters for row in rows), answer(rows))[1]  # type: ignore[method-assign]
    setup.put("a.jsonl", '"a"\n{"inputs": "b"}\n{"inputs": "c", "parameters": {"top_k": 2}}\n')
    setup.handle("a.jsonl")
    assert asked == [{"top_k": 1}, {"top_k": 1}, {"top_k": 2}]


@pytest.mark.parametrize(
    ("key", "content", "message"),
    [
        ("in/page.pdf", b"%PDF", "of no format"),
        ("in/texts.txt", "texts".encode("utf-16"), "UTF-16"),
        ("in/table.csv", b"id,body\n1,a\n", "no column 'text': got id, body"),
        ("in/texts.txt.gz", b"no gzip", "not gzip"),
        ("in/table.parquet.gz", b"", "of no format"),
    ],
)
def test_an_object_that_cannot_be_read_is_refused_in_its_summary(
    setup: Setup, key: str, content: bytes, message: str
) -> None:
    setup.put(key, content)
    assert [setup.handle(key), setup.handle(key)] == ["refused", "refused"]
    assert message in setup.summary(key)["error"]
    assert setup.models.groups == []


def test_a_broken_gzip_keeps_what_could_be_read(setup: Setup) -> None:
    content = gzip.compress("".join(f"text {n} {n * 7919 % 1000}\n" for n in range(3000)).encode())
    setup.put("a.txt.gz", content[: len(content) // 2])
    assert setup.handle("a.txt.gz") == "incomplete"
    summary = setup.summary("a.txt.gz")
    assert "not gzip to its end" in summary["error"]
    assert 0 < summary["counts"]["succeeded"] < 3000


def test_lines_that_cannot_be_read_fail_alone(setup: Setup) -> None:
    setup.put("a.txt", b"a\n" + b"x" * 100_000 + b"\nlatin \xe9\nd\n")
    setup.put("b.csv", b'text\n"never closed\nx\n')
    setup.handle("a.txt")
    setup.handle("b.csv")
    assert setup.outputs("a.txt") == [(1, None, "A"), (2, None, "too_large"), (3, None, "malformed"), (4, None, "D")]
    assert setup.outputs("b.csv") == [(2, None, "malformed")]


@pytest.mark.parametrize("content", [b"", b"\n\n"])
def test_an_object_of_no_rows_is_complete(setup: Setup, content: bytes) -> None:
    setup.put("a.jsonl", content)
    assert setup.handle("a.jsonl") == "complete"
    assert (setup.summary("a.jsonl")["counts"]["records"], setup.lines("a.jsonl")) == (0, [])


@pytest.mark.parametrize(
    ("name", "key"), [("s3", "in/texts one.jsonl"), ("s3_multipart", "in/texts+two ü.csv.gz"), ("s3_removed", None)]
)
def test_keys_are_decoded_as_s3_encodes_them(name: str, key: str | None) -> None:
    [delivery] = read_deliveries(read_event(name))
    assert [notice.key for notice in delivery.notices] == ([key] if key else [])


def test_objects_that_are_no_input_are_left_alone(setup: Setup) -> None:
    setup.put("results/a.txt/summary.txt", "a")
    assert setup.handle("results/a.txt/summary.txt") == "ignored"
    assert setup.handle("folder/") == "ignored"
    assert setup.handle("gone.txt") == "deleted"
    assert setup.function.handle(read_event("s3_test"), None) == {"objects": []}
    assert setup.function.handle(read_event("s3_removed"), None) == {"objects": []}
    assert setup.models.groups == []


# Parts


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


# Failures


def test_a_row_on_which_the_model_fails_does_not_hold_up_the_others(setup: Setup) -> None:
    setup.put("a.txt", "a\npoison\nb\n")
    assert setup.handle("a.txt") == "complete"
    assert setup.outputs("a.txt") == [(1, None, "A"), (2, None, "internal"), (3, None, "B")]
    assert "ZeroDivision" not in json.dumps(setup.lines("a.txt"))


@pytest.mark.parametrize("text", ["poison", "busy"])
def test_when_nothing_succeeds_the_event_is_tried_again(setup: Setup, text: str) -> None:
    setup.put("a.txt", f"{text}\n" * 3)
    with pytest.raises(ZeroDivisionError if text == "poison" else InputError):
        setup.handle("a.txt")
    assert not setup.results("a.txt").exists()


def test_a_summary_lists_so_many_failures(setup: Setup) -> None:
    setup.put("a.jsonl", '"a"\n' + "{\n" * (LISTED_FAILURES + 5))
    setup.handle("a.jsonl")
    summary = setup.summary("a.jsonl")
    assert (len(summary["failures"]), summary["failures_not_listed"]) == (LISTED_FAILURES, 5)


def test_queue_records_fail_alone(setup: Setup) -> None:
    setup.put("in/texts one.jsonl", '"a"\n')
    setup.put("broken.txt", "poison\n")
    event = read_event("sqs_s3")
    event["Records"].append(event["Records"][0] | {"messageId": "m1", "body": "no event"})
    event["Records"].append(event["Records"][0] | {"messageId": "m2", "body": json.dumps(event_of("broken.txt"))})
    event["Records"].append(event["Records"][0] | {"messageId": "m3", "body": json.dumps(read_event("s3_test"))})
    failures = setup.function.handle(event, None)["batchItemFailures"]
    assert failures == [{"itemIdentifier": "m1"}, {"itemIdentifier": "m2"}]
    assert setup.outputs("in/texts one.jsonl") == [(1, None, "A")]


@pytest.mark.parametrize("change", [lambda event: event["Records"][0]["s3"]["bucket"].update(name="../elsewhere")])
def test_a_key_does_not_lead_out_of_a_folder(setup: Setup, change: Callable[[Any], None]) -> None:
    event = event_of("../../secret.txt")
    change(event)
    with pytest.raises(InputError, match="leads out"):
        setup.function.handle(event, None)
