"""Rows of objects: whatever they hold, reading on behind a row gives the rows after it, and no others."""

from __future__ import annotations

import gzip
import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.bucket.formats import rows_of
from functions.bucket.rows import Place, Reading, Row

READING = Reading("text", {}, 60)
PIECES = ["a", "é", "", " ", '"', '""', ",", "\r\n", "\n", "\n", '"x"\n', '{"inputs": "b"}\n', "\ufeff", "y" * 70]


def seen(row: Row) -> tuple[Any, ...]:
    inputs = row.request.inputs if row.request else None
    return row.line, row.after, inputs, str(row.refusal)


@pytest.mark.parametrize("key", ["a.txt", "a.jsonl", "a.csv", "a.csv.gz"])
@settings(deadline=None, max_examples=60)
@given(st.lists(st.sampled_from(PIECES), max_size=30), st.booleans())
def test_reading_on_behind_a_row_gives_the_rest(key: str, pieces: list[str], broken: bool) -> None:
    content = ("id,text\n" if ".csv" in key else "").encode() + "".join(pieces).encode() + b"\xff\n" * broken
    packed = gzip.compress(content) if key.endswith(".gz") else content
    rows = [seen(row) for row in rows_of(key, io.BytesIO(packed), READING, Place())]
    for number, row in enumerate(rows):
        rest = [seen(other) for other in rows_of(key, io.BytesIO(packed), READING, row[1])]
        assert rest == rows[number + 1 :]
    offsets = [row[1].offset for row in rows]
    assert offsets == sorted(set(offsets))
    assert not rows or offsets[-1] <= len(content)


def test_a_field_of_a_table_is_as_long_as_a_row_may_be() -> None:
    text = "long " * 50_000
    [row] = rows_of("a.csv", io.BytesIO(f"id,text\n1,{text}\n".encode()), Reading("text", {}, 2_000_000), Place())
    assert row.request is not None
    assert row.request.inputs == text
