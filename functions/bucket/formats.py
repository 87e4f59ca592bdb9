"""Which reader an object's name asks for.

gzip has no way to begin in the middle. Places in it count decompressed bytes: going on decompresses from the start and
throws away what comes before, which costs far less than any model's work on it.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, cast

from functions.bucket.lines import CsvLines, JsonLines, TextLines
from functions.bucket.parquet import ParquetRows
from functions.bucket.rows import Place, Reading, Row, RowReader
from layers.errors import InputError

FORMATS: dict[str, Callable[[BinaryIO, Reading], RowReader]] = {
    ".jsonl": JsonLines,
    ".csv": CsvLines,
    ".txt": TextLines,
    ".parquet": ParquetRows,
}


def format_of(key: str) -> tuple[str, bool]:
    """The format by the key's ending, and whether the object is gzip. Raises InputError for one that is not read."""
    name = key.lower()
    compressed = name.endswith(".gz")
    name = name.removesuffix(".gz")
    for ending in FORMATS:
        if name.endswith(ending) and not (compressed and ending == ".parquet"):
            return ending, compressed
    raise InputError(
        "object is of no format that is read here: expected .jsonl, .csv, .txt (each also with .gz) or .parquet.",
        error_type="unreadable",
    )


def rows_of(key: str, file: BinaryIO, reading: Reading, start: Place) -> Iterator[Row]:
    """The object's rows from a place on. Raises InputError when the object itself cannot be read (further)."""
    ending, compressed = format_of(key)
    file.seek(0)
    if compressed:
        file = cast(BinaryIO, gzip.GzipFile(fileobj=cast(Any, file), mode="rb"))
    try:
        yield from FORMATS[ending](file, reading).rows(start)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"object is not gzip to its end: {error}.", error_type="unreadable") from error
