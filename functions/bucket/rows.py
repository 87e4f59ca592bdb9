"""A row of an object: one record with its place, so that work can go on behind it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from functions.requests import read_request
from layers.errors import InputError
from layers.runtime.request import Request
from layers.wording import kind


@dataclass(frozen=True, slots=True)
class Place:
    """Where to go on: `offset` counts bytes (decompressed ones of gzip, rows of Parquet), `line` from 1."""

    offset: int = 0
    line: int = 1


@dataclass(frozen=True, slots=True)
class Row:
    """What stands at a line: a request with its model, or why it is none. `after` is the place behind it."""

    line: int
    after: Place
    size: int
    id: Any = None
    model: str | None = None
    request: Request | None = None
    refusal: InputError | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """How objects are read: the column of tables, parameters of rows that state none, and the longest row."""

    column: str
    parameters: Mapping[str, Any]
    max_row_bytes: int
    whole_text: bool = False


class RowReader(Protocol):
    """One format of objects."""

    def rows(self, start: Place) -> Iterator[Row]:
        """Every row from a place on. Raises InputError when the object itself cannot be read."""


def read_content(content: Any, reading: Reading) -> tuple[Any, str | None, Request]:
    """Id, model and request of one JSON value: a text, a body as the HTTPS function's, or a row with the column.

    Raises InputError.
    """
    if isinstance(content, str):
        return None, None, Request(content, reading.parameters)
    if not isinstance(content, dict):
        raise InputError(f"got {kind(content)}, expected a string or an object with inputs or {reading.column}.")
    name = content.get("id")
    if "inputs" not in content:
        if reading.column not in content:
            raise InputError(f"got an object without inputs and without {reading.column!r}.")
        return name, None, Request(content[reading.column], reading.parameters)
    model, request = read_request({key: value for key, value in content.items() if key != "id"})
    parameters = request.parameters or reading.parameters
    return name, model, Request(request.inputs, parameters, request.task)
