"""Answers as JSON, for every trigger alike. Knows no HTTP framework."""

from __future__ import annotations

import json
from typing import Any

try:
    from pydantic_core import PydanticSerializationError, to_json
except ModuleNotFoundError:  # in functions before an endpoint, whose zip holds the standard library's Python alone
    to_json = None  # type: ignore[assignment]


def json_bytes(value: Any) -> bytes:
    """A value as JSON. Raises ValueError for NaN and infinities, which JSON has no word for."""
    if to_json is None:
        return plain_json_bytes(value)
    # Ten times as fast as json.dumps on vectors (16 against 194 microseconds for 384 numbers).
    try:
        body = to_json(value)
    except PydanticSerializationError:  # half a surrogate pair, in an id that a caller sent
        return plain_json_bytes(value)
    return plain_json_bytes(value) if b"NaN" in body or b"Infinity" in body else body


def plain_json_bytes(value: Any) -> bytes:
    """The same by the standard library."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:  # half a surrogate pair
        return json.dumps(value, allow_nan=False, separators=(",", ":")).encode("ascii")
