"""Parquet, where pyarrow is installed. It is no part of an image: its 100 MB are for those who need it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

from functions.bucket.rows import Place, Reading, Row
from layers.errors import InputError
from layers.runtime.request import Request

ROWS_AT_ONCE = 1024
UNREADABLE = "object is not Parquet, or damaged."


class ParquetRows:
    """Rows of the column, with the column `id` where there is one; offsets count rows."""

    def __init__(self, file: BinaryIO, reading: Reading) -> None:
        self._file, self._reading = file, reading

    def rows(self, start: Place) -> Iterator[Row]:
        """As `RowReader`; row groups before the place are not read. Raises InputError without pyarrow too."""
        try:
            from pyarrow import ArrowException, parquet
        except ModuleNotFoundError as error:
            raise InputError(
                "object is Parquet, and pyarrow is not installed in this function: send .jsonl or .csv.",
                error_type="unreadable",
            ) from error
        try:
            yield from self._rows(parquet.ParquetFile(self._file), start)
        except (ArrowException, UnicodeDecodeError) as error:
            raise InputError(UNREADABLE, error_type="unreadable") from error
        except OSError as error:
            # Arrow's own, of a damaged page or footer, is a bare one; what the store raises may pass at a later try.
            if type(error) is not OSError or error.errno is not None:
                raise
            raise InputError(UNREADABLE, error_type="unreadable") from error

    def _rows(self, table: Any, start: Place) -> Iterator[Row]:
        names = table.schema_arrow.names
        if self._reading.column not in names:
            raise InputError(
                f"table has no column {self._reading.column!r}: got {', '.join(names)[:200]}.", error_type="unreadable"
            )
        wanted = [self._reading.column, *(["id"] if "id" in names and self._reading.column != "id" else [])]
        number = 0
        for group in range(table.num_row_groups):
            rows = table.metadata.row_group(group).num_rows
            if number + rows > start.offset:
                yield from self._group(table, group, wanted, number, start.offset)
            number += rows

    def _group(self, table: Any, group: int, wanted: list[str], first: int, start: int) -> Iterator[Row]:
        number = first
        for batch in table.iter_batches(ROWS_AT_ONCE, row_groups=[group], columns=wanted):
            for values in batch.to_pylist():
                number += 1
                if number <= start:
                    continue
                text = values[self._reading.column]
                after = Place(number, number + 1)
                if isinstance(text, str):
                    request = Request(text, self._reading.parameters)
                    yield Row(number, after, len(text), values.get("id"), request=request)
                else:
                    refusal = InputError(f"{self._reading.column}: got {type(text).__name__}, expected a string.")
                    yield Row(number, after, 0, values.get("id"), refusal=refusal)
