"""Formats of lines: .jsonl, .csv and .txt. A line that is too long or not UTF-8 fails alone and is never held whole."""

from __future__ import annotations

import codecs
import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from functions.bucket.rows import Place, Reading, Row, read_content
from layers.errors import InputError
from layers.runtime.request import Request

UTF8_MARK = codecs.BOM_UTF8
OTHER_MARKS = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
PIECE_BYTES = 2**16


@dataclass(frozen=True, slots=True)
class Line:
    """One physical line with its ending; `content` is None when it is longer than a row may be."""

    content: bytes | None
    size: int


class Lines:
    """The lines of a file from a place on, one at a time."""

    def __init__(self, file: BinaryIO, start: Place, max_bytes: int) -> None:
        self._file, self._max = file, max_bytes
        self.place = start
        file.seek(start.offset)

    def next(self) -> Line | None:
        """None at the end of the file. Raises InputError when it is in another encoding altogether."""
        content = self._file.readline(self._max + 1)
        if not content:
            return None
        size, tail = len(content), content
        while len(tail) and not tail.endswith(b"\n"):
            tail = self._file.readline(PIECE_BYTES)
            if len(content) <= self._max:
                content += tail
            size += len(tail)
        if self.place.offset == 0:
            content = _without_mark(content)
        self.place = Place(self.place.offset + size, self.place.line + 1)
        return Line(content if size <= self._max else None, size)


def _without_mark(content: bytes) -> bytes:
    if content.startswith(OTHER_MARKS):
        raise InputError("object is UTF-16 or UTF-32: expected UTF-8.", error_type="unreadable")
    return content.removeprefix(UTF8_MARK)


class JsonLines:
    """A JSON value a line; empty lines are none."""

    def __init__(self, file: BinaryIO, reading: Reading) -> None:
        self._file, self._reading = file, reading

    def rows(self, start: Place) -> Iterator[Row]:
        """As `RowReader`."""
        for number, line, after in _texts(self._file, start, self._reading):
            if isinstance(line, InputError):
                yield Row(number, after, 0, refusal=line)
                continue
            name = None
            try:
                content = json.loads(line, parse_constant=_refuse_constant)
                name = content.get("id") if isinstance(content, dict) else None
                name, model, request = read_content(content, self._reading)
                yield Row(number, after, len(line), name, model, request)
            except InputError as refusal:
                yield Row(number, after, len(line), name, refusal=refusal)
            except (ValueError, RecursionError) as error:
                malformed = InputError(f"line is not JSON: {error}.", status=400, error_type="malformed")
                yield Row(number, after, len(line), refusal=malformed)


class TextLines:
    """A text a line, empty ones being none; or the whole object as one text."""

    def __init__(self, file: BinaryIO, reading: Reading) -> None:
        self._file, self._reading = file, reading

    def rows(self, start: Place) -> Iterator[Row]:
        """As `RowReader`."""
        if self._reading.whole_text:
            yield from self._document(start)
            return
        for number, line, after in _texts(self._file, start, self._reading):
            if isinstance(line, InputError):
                yield Row(number, after, 0, refusal=line)
            else:
                yield Row(number, after, len(line), request=Request(line, self._reading.parameters))

    def _document(self, start: Place) -> Iterator[Row]:
        if start.offset:
            return
        limit = self._reading.max_row_bytes
        content = self._file.read(limit + 1)
        if not content:
            return
        text = _too_long(limit) if len(content) > limit else _decoded(_without_mark(content))
        # There is nothing behind a document, however much of it was read.
        after = Place(2**53, 2)
        if isinstance(text, InputError):
            yield Row(1, after, 0, refusal=text)
        else:
            yield Row(1, after, len(text), request=Request(text, self._reading.parameters))


class CsvLines:
    """A table as RFC 4180 has it, with a header; a quoted field may go over several lines."""

    def __init__(self, file: BinaryIO, reading: Reading) -> None:
        self._file, self._reading = file, reading
        # The module's own limit of a field is 131,072 characters, for the whole process.
        csv.field_size_limit(max(csv.field_size_limit(), reading.max_row_bytes))

    def rows(self, start: Place) -> Iterator[Row]:
        """As `RowReader`. Raises InputError when the header lacks the column."""
        lines = Lines(self._file, Place(), self._reading.max_row_bytes)
        header = _record(lines, self._reading.max_row_bytes)
        if header is None:
            return
        names = header if isinstance(header, list) else []
        column = self._reading.column
        if column not in names:
            raise InputError(
                f"header has no column {column!r}: got {', '.join(names)[:200]}. Name it in [MODEL.bucket] column.",
                error_type="unreadable",
            )
        text_at, id_at = names.index(column), names.index("id") if "id" in names else None
        if start.offset > lines.place.offset:
            lines = Lines(self._file, start, self._reading.max_row_bytes)
        while True:
            before = lines.place
            fields = _record(lines, self._reading.max_row_bytes)
            if fields is None:
                return
            if fields == []:
                continue
            after, size = lines.place, lines.place.offset - before.offset
            if isinstance(fields, InputError):
                yield Row(before.line, after, size, refusal=fields)
            elif len(fields) != len(names):
                refusal = InputError(f"row has {len(fields)} fields, expected {len(names)} as the header.")
                yield Row(before.line, after, size, refusal=refusal)
            else:
                request = Request(fields[text_at], self._reading.parameters)
                yield Row(before.line, after, size, None if id_at is None else fields[id_at], request=request)


def _record(lines: Lines, max_bytes: int) -> list[str] | InputError | None:
    """Fields of the next record: as many lines as its quotes ask for; none at the end, no fields of an empty line."""
    refusals: list[InputError] = []

    def texts() -> Iterator[str]:
        """Lines while the reader asks for them: it alone knows a quote that opens a field from one in its midst."""
        size = 0
        while (line := lines.next()) is not None:
            size += line.size
            if line.content is None or size > max_bytes:
                refusals.append(_too_long(max_bytes))
                return
            text = _decoded(line.content)
            if isinstance(text, InputError):
                refusals.append(text)
                # Where the record ends can be read nevertheless.
                text = line.content.decode("utf-8", "replace")
            yield text
        if size:
            refusals.append(InputError("quote is not closed.", status=400, error_type="malformed"))

    fields: list[str] | None = None
    try:
        fields = next(csv.reader(texts(), strict=True), None)
    except csv.Error as error:
        refusals.append(InputError(f"row is not CSV: {error}.", status=400, error_type="malformed"))
    return refusals[0] if refusals else fields


def _texts(file: BinaryIO, start: Place, reading: Reading) -> Iterator[tuple[int, str | InputError, Place]]:
    """Line number, text without its ending (or why there is none) and the place behind; empty lines are left out."""
    lines = Lines(file, start, reading.max_row_bytes)
    while True:
        number = lines.place.line
        line = lines.next()
        if line is None:
            return
        if line.content is None:
            yield number, _too_long(reading.max_row_bytes), lines.place
            continue
        text = _decoded(line.content.rstrip(b"\r\n"))
        if isinstance(text, InputError) or text.strip():
            yield number, text, lines.place


def _decoded(content: bytes) -> str | InputError:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        return InputError(f"not UTF-8: {error.reason}.", status=400, error_type="malformed")


def _too_long(max_bytes: int) -> InputError:
    return InputError(f"too long: expected at most {max_bytes} bytes.", status=413, error_type="too_large")


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")
