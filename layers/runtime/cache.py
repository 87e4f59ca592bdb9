"""A least-recently-used cache bounded in bytes, safe to share between threads, that reports on itself."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from threading import Lock
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class CacheReport:
    """How a cache has done since it was made; `bytes` and `entries` are what it holds now."""

    hits: int
    misses: int
    bytes: int
    entries: int


class ByteBoundedCache(Generic[Key, Value]):
    """Keeps the most recently used values whose declared sizes add up to at most `capacity_bytes`."""

    def __init__(self, capacity_bytes: int) -> None:
        self._capacity = capacity_bytes
        self._entries: OrderedDict[Key, tuple[Value, int]] = OrderedDict()
        self._bytes = 0
        self._hits = 0
        self._misses = 0
        self._lock = Lock()

    def get(self, key: Key) -> Value | None:
        """The value, or None, counted as a hit or a miss."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                self._misses += 1
                return None
            self._entries.move_to_end(key)
            self._hits += 1
            return entry[0]

    def put(self, key: Key, value: Value, size_bytes: int) -> None:
        """Keep a value, giving up the least recently used ones for it; one larger than the cache is not kept."""
        with self._lock:
            if size_bytes > self._capacity:
                return
            previous = self._entries.pop(key, None)
            self._bytes += size_bytes - (previous[1] if previous else 0)
            self._entries[key] = (value, size_bytes)
            while self._bytes > self._capacity:
                _, (_, size) = self._entries.popitem(last=False)
                self._bytes -= size

    def report(self) -> CacheReport:
        """Counts since the start and what is held now."""
        with self._lock:
            return CacheReport(self._hits, self._misses, self._bytes, len(self._entries))
