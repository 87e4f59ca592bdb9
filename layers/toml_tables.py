"""Tables of a TOML file as typed records, and what is wrong in one: which key, got what, expected what, nearest valid.

Whatever is wrong in a table is one `CatalogueError`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeGuard, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from layers.errors import CatalogueError

Named = TypeVar("Named", bound=BaseModel)


def named_table(kind: type[Named], path: Path, name: str, table: dict[str, Any], required: str = "") -> Named:
    """The table of that title as a record, whose `name` is the title; `required` says which keys every one needs.

    Raises CatalogueError with every mistake in it.
    """
    if "name" in table:
        raise CatalogueError(f"{path}: [{name}] key 'name': the table's title is the name; remove the key")
    try:
        return kind.model_validate({"name": name, **table})
    except ValidationError as error:
        mistakes = [_explain(kind, name, item, required).removesuffix(".") for item in error.errors()]
        raise CatalogueError(f"{path}: {'; '.join(mistakes)}.") from error


def suggest(word: str, options: list[str]) -> str:
    """The option that is meant, as a question with a space after it; nothing where none is near."""
    close = difflib.get_close_matches(word, options, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}? " if close else ""


def _explain(root: type[BaseModel], name: str, item: ErrorDetails, required: str) -> str:
    """One pydantic error as: which table, which key, got, expected, nearest valid key."""
    places = [place for place in item["loc"] if place != "[key]"]
    whole = item["type"] == "value_error"
    table, depth = _innermost(root, places if whole else places[:-1])
    title = f"[{_joined([name, *places[:depth]])}]"
    key = _joined(places[depth:])
    said = item["msg"].removeprefix("Value error, ")
    if not key:
        return f"{title} {said}"
    if item["type"] == "extra_forbidden":
        valid = [each for each in table.model_fields if table is not root or each != "name"]
        return f"{title} unknown key '{key}': {suggest(key, valid)}Valid keys: {', '.join(valid)}."
    if item["type"] == "missing":
        keys = ", ".join(each for each, field in table.model_fields.items() if field.is_required())
        return f"{title} missing key '{key}': {required if table is root else f'every entry needs {keys}'}."
    nearest = ""
    if item["type"] == "literal_error" and isinstance(item["input"], str):
        options = re.findall(r"'([^']*)'", item["ctx"]["expected"])
        nearest = f" {suggest(item['input'], options)}".rstrip()
    return f"{title} key '{key}': got {item['input']!r}, {said[:1].lower()}{said[1:]}.{nearest}"


def _innermost(root: type[BaseModel], places: Sequence[int | str]) -> tuple[type[BaseModel], int]:
    """The last table on the way to a place, and how many steps lead to it: a step is a key, or an entry's number."""
    held: Any = root
    table, depth = root, 0
    for number, place in enumerate(places, start=1):
        held = held.model_fields[str(place)].annotation if _is_table(held) else get_args(held)[-1]
        if _is_table(held):
            table, depth = held, number
    return table, depth


def _is_table(held: object) -> TypeGuard[type[BaseModel]]:
    return isinstance(held, type) and issubclass(held, BaseModel)


def _joined(places: Sequence[int | str]) -> str:
    """As a title is written, which counts no entries."""
    return ".".join(place for place in places if isinstance(place, str))
