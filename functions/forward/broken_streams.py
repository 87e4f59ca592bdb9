"""Streams that break off within the endpoint say so in their last event: their status was sent before, and says 200."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing

# How layers/serving writes such an event, whatever the API. In the midst of an event quotes would be escaped.
MARK = b'data: {"error":'


def watched(parts: Generator[bytes], broke_off: Callable[[], None]) -> Generator[bytes]:
    """The same parts. `broke_off` is called once where they hold the mark, which may lie across two of them."""
    tail: bytes | None = b""
    with closing(parts):
        for part in parts:
            if tail is not None:
                seen = tail + part
                tail = None if MARK in seen else seen[-len(MARK) + 1 :]
                if tail is None:
                    broke_off()
            yield part
