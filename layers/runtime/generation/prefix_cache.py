"""Keys and values of earlier prompts, in blocks of tokens, for prompts that begin alike.

A block is named by the hash of all tokens up to its end, so a beginning that many prompts share is held once. Blocks
that nobody used for longest go first, ends before beginnings.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from threading import Lock

import numpy as np

from layers.runtime.cache import CacheReport
from layers.runtime.generation.decoder import Ids
from layers.runtime.generation.slots import Buffer

BLOCK_TOKENS = 64


@dataclass(frozen=True, slots=True)
class PrefixReport(CacheReport):
    """A hit is a prompt of which something was reused. `tokens_saved` were not computed, `tokens_computed` were.

    `bytes` and `entries` are of the stored blocks; a slot that still holds its last prompt counts with the slots.
    """

    tokens_saved: int
    tokens_computed: int


class PrefixCache:
    """Blocks of keys and values, float32 [2 * layers, kv_heads, BLOCK_TOKENS, head_dim]. Safe between threads."""

    def __init__(self, capacity_bytes: int) -> None:
        self._capacity = capacity_bytes
        self._blocks: OrderedDict[bytes, Buffer] = OrderedDict()
        self._bytes = 0
        self._hits = self._misses = self._saved = self._computed = 0
        self._lock = Lock()

    def find(self, tokens: Ids, start: int) -> list[Buffer]:
        """The stored blocks, one after another, from the one that `start` lies in; all within `tokens`."""
        found: list[tuple[bytes, Buffer]] = []
        with self._lock:
            for place, name in enumerate(_names(tokens)):
                if place < start // BLOCK_TOKENS:
                    continue
                block = self._blocks.get(name)
                if block is None:
                    break
                found.append((name, block))
            for name, _ in reversed(found):
                self._blocks.move_to_end(name)
        return [block for _, block in found]

    def keep(self, tokens: Ids, views: Sequence[Buffer], start: int = 0) -> None:
        """Copy the full blocks of row 0 that end after `start` and are not stored yet; called before they are lost."""
        size = len(views) * views[0].shape[1] * BLOCK_TOKENS * views[0].shape[3] * 4 if views else 0
        if not size or size > self._capacity:
            return
        names = list(enumerate(_names(tokens)))[start // BLOCK_TOKENS :]
        # Never more than fits: the beginning is what a later prompt needs first.
        for place, name in reversed(names[: self._capacity // size]):
            with self._lock:
                if name in self._blocks:
                    self._blocks.move_to_end(name)
                    continue
            begin = place * BLOCK_TOKENS
            block = np.stack([view[0, :, begin : begin + BLOCK_TOKENS] for view in views])
            with self._lock:
                if self._blocks.setdefault(name, block) is block:
                    self._bytes += block.nbytes
                while self._bytes > self._capacity:
                    self._bytes -= self._blocks.popitem(last=False)[1].nbytes

    def record(self, saved: int, computed: int) -> None:
        """Count one prompt."""
        with self._lock:
            self._hits += saved > 0
            self._misses += saved == 0
            self._saved += saved
            self._computed += computed

    def report(self) -> PrefixReport:
        """Counts since the start and what is held now."""
        with self._lock:
            return PrefixReport(self._hits, self._misses, self._bytes, len(self._blocks), self._saved, self._computed)


def _names(tokens: Ids) -> Iterator[bytes]:
    """The name of each full block: the hash of the one before it and its own tokens."""
    name = b""
    for begin in range(0, len(tokens) - BLOCK_TOKENS + 1, BLOCK_TOKENS):
        content = np.ascontiguousarray(tokens[begin : begin + BLOCK_TOKENS], dtype="<i8").tobytes()
        name = blake2b(name + content, digest_size=16).digest()
        yield name
