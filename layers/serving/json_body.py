"""Answers as JSON, for every trigger alike. Knows no HTTP framework."""

from __future__ import annotations

import json
from typing import Any

from pydantic_core import PydanticSerializationError, to_json


def json_bytes(value: Any) -> bytes:
    """A value as JSON. Raises ValueError for NaN and infinities, which JSON has no word for."""
    # Ten times as fast as json.dumps on vectors (16 against 194 microseconds for 384 numbers).
    try:
        body = to_json(value)
    except PydanticSerializationError:  # half a surrogate pair, in an id that a caller sent
        return json.dumps(value, allow_nan=False).encode("ascii")
    if b"NaN" in body or b"Infinity" in body:
        body = json.dumps(value, allow_nan=False).encode("ascii")
    return body
