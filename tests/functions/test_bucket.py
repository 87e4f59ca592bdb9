"""The bucket function's objects: every format, what is refused, and what goes wrong."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from functions.bucket.formats import rows_of
from functions.bucket.notices import read_deliveries
from functions.bucket.object_work import Limits
from functions.bucket.rows import Place, Reading
from functions.bucket.summary import LISTED_FAILURES
from layers.errors import InputError
from tests.functions.bucket_setup import Setup, event_of
from tests.functions.conftest import read_event
from tests.functions.fakes import FakeContext, FakeModels


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
{"inputs": "e", "stream": false}
{"inputs": "e", "stream": true}
"""
JSONL_RESULTS = [
    (1, 7, "A"), (2, None, "B"), (4, "x", "C"), (5, None, "malformed"), (6, None, "validation"),
    (7, "y", "validation"), (8, "z", "validation"), (9, None, "unknown_model"), (10, None, "malformed"),
    (11, None, "E"), (12, None, "validation"),
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


def test_an_id_that_json_has_no_word_for_is_answered_as_its_text(setup: Setup, tmp_path: Path) -> None:
    setup.put("a.jsonl", '{"inputs": "a", "id": 1e999}\n{"inputs": "b", "id": [-1e999]}\n{"inputs": "c", "id": [1]}\n')
    assert setup.handle("a.jsonl") == "complete"
    assert setup.outputs("a.jsonl") == [(1, "inf", "A"), (2, "[-inf]", "B"), (3, [1], "C")]
    table = pyarrow.table({"id": [b"\xff", b"\xfe"], "text": ["a", None]})
    parquet.write_table(table, tmp_path / "table.parquet")
    setup.put("b.parquet", (tmp_path / "table.parquet").read_bytes())
    assert setup.handle("b.parquet") == "complete"
    assert setup.outputs("b.parquet") == [(1, "b'\\xff'", "A"), (2, "b'\\xfe'", "validation")]


def test_damaged_parquet_is_refused_for_good(setup: Setup, tmp_path: Path) -> None:
    parquet.write_table(pyarrow.table({"text": ["a", "b"] * 500}), tmp_path / "table.parquet")
    content = (tmp_path / "table.parquet").read_bytes()
    setup.put("page.parquet", content[:4] + b"\xff" * 60 + content[64:])
    assert [setup.handle("page.parquet"), setup.handle("page.parquet")] == ["refused", "refused"]
    assert "damaged" in setup.summary("page.parquet")["error"]


def test_a_store_that_cannot_be_read_is_no_damage_of_parquet(tmp_path: Path) -> None:
    class Unreachable(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:  # noqa: ARG002
            raise TimeoutError("no answer")

    parquet.write_table(pyarrow.table({"text": ["a"]}), tmp_path / "table.parquet")
    file = Unreachable((tmp_path / "table.parquet").read_bytes())
    with pytest.raises(TimeoutError):
        list(rows_of("a.parquet", file, Reading("text", {}, 1000), Place()))


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


def test_a_quote_in_the_midst_of_a_field_is_no_matter_of_other_rows(setup: Setup) -> None:
    setup.put("a.csv", 'id,text\n1,5" disk\n2,b\n3,"3.5"" disk"\n')
    setup.handle("a.csv")
    assert setup.outputs("a.csv") == [(2, "1", '5" DISK'), (3, "2", "B"), (4, "3", '3.5" DISK')]


def test_a_record_that_cannot_be_read_ends_where_its_quotes_do(setup: Setup) -> None:
    setup.put("a.csv", b'id,text\n1,"latin \xe9\n2,still the first"\n3,c\n')
    setup.handle("a.csv")
    assert setup.outputs("a.csv") == [(2, None, "malformed"), (4, "3", "C")]


@pytest.mark.parametrize("content", [b"", b"\n\n"])
def test_an_object_of_no_rows_is_complete(setup: Setup, content: bytes) -> None:
    setup.put("a.jsonl", content)
    assert setup.handle("a.jsonl") == "complete"
    assert (setup.summary("a.jsonl")["counts"]["records"], setup.lines("a.jsonl")) == (0, [])


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("s3", "in/texts one.jsonl"),
        ("s3_multipart", "in/texts+two ü.csv.gz"),
        ("s3_removed", None),
        ("sns_s3", "in/texts one.jsonl"),
        ("eventbridge_s3", "in/texts+two ü.jsonl"),
    ],
)
def test_keys_are_decoded_as_s3_encodes_them(name: str, key: str | None) -> None:
    [delivery] = read_deliveries(read_event(name))
    assert [notice.key for notice in delivery.notices] == ([key] if key else [])


def test_events_that_carry_s3s_are_understood_directly_and_from_a_queue(setup: Setup) -> None:
    setup.put("in/texts one.jsonl", '"a"\n')
    setup.put("in/texts+two ü.jsonl", '"b"\n')
    topic, bus = read_event("sns_s3"), read_event("eventbridge_s3")
    of_bus_by_topic = topic["Records"][0]["Sns"] | {"Message": json.dumps(bus)}
    for event in (topic, bus):
        [done] = setup.function.handle(event, None)["objects"]
        assert done["status"] == "complete"
        queued = event["Records"][0]["Sns"] if event is topic else event
        [record] = read_event("sqs_s3")["Records"]
        notices = [
            notice
            for body in (queued, event_of("in/texts one.jsonl") if event is topic else of_bus_by_topic)
            for delivery in read_deliveries({"Records": [record | {"body": json.dumps(body)}]})
            for notice in delivery.notices
        ]
        assert [notice.key for notice in notices] == [done["key"]] * 2
    assert setup.outputs("in/texts one.jsonl") + setup.outputs("in/texts+two ü.jsonl") == [
        (1, None, "A"),
        (1, None, "B"),
    ]
    assert setup.summary("in/texts+two ü.jsonl")["object"]["sequencer"] == "0A1B2C3D4E5F678901"


@pytest.mark.parametrize("message", [{"detail-type": "Object Deleted", "source": "aws.s3"}, {"Event": "s3:TestEvent"}])
def test_what_else_is_told_of_objects_is_nothing_to_do(setup: Setup, message: dict[str, Any]) -> None:
    topic = read_event("sns_s3")
    topic["Records"][0]["Sns"]["Message"] = json.dumps(message)
    assert setup.function.handle(topic, None) == setup.function.handle(message, None) == {"objects": []}


def test_the_rest_of_an_object_that_eventbridge_told_of_is_handed_on_as_s3s_event(setup: Setup) -> None:
    key = "in/texts+two ü.jsonl"
    setup.put(key, '"a"\n' * 20)
    context = FakeContext(30.0)
    setup.models = FakeModels(before=lambda: setattr(context, "seconds", 0.0))
    [done] = setup.function.handle(read_event("eventbridge_s3"), context)["objects"]
    assert done["status"] == "handed on"
    [rest] = setup.handed_on
    assert [notice.key for delivery in read_deliveries(rest) for notice in delivery.notices] == [key]
    setup.models = FakeModels()
    assert setup.function.handle(rest, None)["objects"][0]["status"] == "complete"
    assert len(setup.lines(key)) == 20


def test_objects_that_are_no_input_are_left_alone(setup: Setup) -> None:
    setup.put("results/a.txt/summary.txt", "a")
    assert setup.handle("results/a.txt/summary.txt") == "ignored"
    assert setup.handle("folder/") == "ignored"
    assert setup.handle("gone.txt") == "deleted"
    assert setup.function.handle(read_event("s3_test"), None) == {"objects": []}
    assert setup.function.handle(read_event("s3_removed"), None) == {"objects": []}
    assert setup.models.groups == []


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


def test_an_object_that_a_busy_model_turned_away_is_delivered_again_soon(setup: Setup) -> None:
    setup.put("busy.txt", "busy\n")
    setup.put("broken.txt", "poison\n")
    [record] = read_event("sqs_s3")["Records"]
    event = {
        "Records": [
            record | {"messageId": key, "receiptHandle": key, "body": json.dumps(event_of(key))}
            for key in ("busy.txt", "broken.txt")
        ]
    }
    failures = setup.function.handle(event, None)["batchItemFailures"]
    assert failures == [{"itemIdentifier": "busy.txt"}, {"itemIdentifier": "broken.txt"}]
    assert setup.redelivered == [("busy.txt", 30)]


def test_a_summary_lists_so_many_failures(setup: Setup) -> None:
    setup.put("a.jsonl", '"a"\n' + "{\n" * (LISTED_FAILURES + 5))
    setup.handle("a.jsonl")
    summary = setup.summary("a.jsonl")
    assert (len(summary["failures"]), summary["failures_not_listed"]) == (LISTED_FAILURES, 5)


def test_queue_records_fail_alone(setup: Setup) -> None:
    setup.put("in/texts one.jsonl", '"a"\n')
    setup.put("broken.txt", "poison\n")
    event = read_event("sqs_s3")
    event["Records"].append(event["Records"][0] | {"messageId": "m1", "body": "[" * 100_000})
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
