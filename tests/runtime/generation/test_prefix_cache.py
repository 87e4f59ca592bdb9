"""Blocks are held once, found by everything before them, and given up from the end."""

from __future__ import annotations

from typing import Any

import numpy as np

from layers.runtime.generation.prefix_cache import BLOCK_TOKENS, PrefixCache

BLOCK_BYTES = 2 * 3 * BLOCK_TOKENS * 4 * 4


def views(tokens: Any) -> list[Any]:
    """Key and value of one layer, [1, 3, capacity, 4], each number telling the token it is of."""
    array = np.zeros((1, 3, 512, 4), dtype=np.float32)
    array[0, :, : len(tokens)] = tokens[None, :, None]
    return [array, -array]


def tokens(*parts: tuple[int, int]) -> Any:
    """So many tokens from a start on, part after part."""
    return np.concatenate([np.arange(start, start + count) for start, count in parts])


def test_what_was_kept_is_found() -> None:
    cache = PrefixCache(2**20)
    known = tokens((0, 200))
    cache.keep(known, views(known))
    blocks = cache.find(tokens((0, 300)), 0)
    assert len(blocks) == 200 // BLOCK_TOKENS
    for place, block in enumerate(blocks):
        assert block.shape == (2, 3, BLOCK_TOKENS, 4)
        assert block[0, 0, :, 0].tolist() == list(range(place * BLOCK_TOKENS, (place + 1) * BLOCK_TOKENS))
    assert len(cache.find(known, 70)) == 2, "from the block that the start lies in"
    assert cache.find(tokens((0, 60)), 0) == []


def test_a_block_after_another_beginning_is_another_block() -> None:
    cache = PrefixCache(2**20)
    known = tokens((0, 128))
    cache.keep(known, views(known))
    assert cache.find(tokens((1, 64), (64, 64)), 0) == []
    assert len(cache.find(tokens((0, 64), (900, 64)), 0)) == 1


def test_a_shared_beginning_is_held_once() -> None:
    cache = PrefixCache(2**20)
    for ending in range(5):
        known = tokens((0, 128), (1000 * (ending + 1), 64))
        cache.keep(known, views(known))
    assert (cache.report().entries, cache.report().bytes) == (2 + 5, 7 * BLOCK_BYTES)


def test_blocks_that_nobody_used_go_first_and_ends_before_beginnings() -> None:
    cache = PrefixCache(4 * BLOCK_BYTES)
    first, second = tokens((0, 128)), tokens((5000, 128))
    cache.keep(first, views(first))
    cache.keep(second, views(second))
    assert len(cache.find(first, 0)) == 2
    third = tokens((9000, 64))
    cache.keep(third, views(third))
    assert [len(cache.find(known, 0)) for known in (first, second, third)] == [2, 1, 1]
    assert cache.report().bytes == 4 * BLOCK_BYTES


def test_of_what_is_too_long_the_beginning_is_kept() -> None:
    cache = PrefixCache(2 * BLOCK_BYTES)
    known = tokens((0, 300))
    cache.keep(known, views(known))
    assert len(cache.find(known, 0)) == 2
    nothing = PrefixCache(BLOCK_BYTES - 1)
    nothing.keep(known, views(known))
    assert nothing.report().entries == 0


def test_the_report_counts() -> None:
    cache = PrefixCache(2**20)
    cache.record(0, 100)
    cache.record(90, 10)
    report = cache.report()
    assert (report.hits, report.misses, report.tokens_saved, report.tokens_computed) == (1, 1, 90, 110)
