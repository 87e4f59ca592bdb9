"""How messages show what a caller sent. The standard library alone, as everything that reads requests."""

from __future__ import annotations

from typing import Any


def shown(value: Any) -> str:
    """What a caller sent, short enough for a message."""
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."


def kind(value: Any) -> str:
    """What JSON calls a value's type, for messages."""
    names = {type(None): "null", bool: "a boolean", int: "a number", float: "a number", str: "a string"}
    return names.get(type(value)) or ("a list" if isinstance(value, list) else "an object")
