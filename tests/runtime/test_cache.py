"""The cache's bounds, order of forgetting, counts and safety between threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from layers.runtime.cache import ByteBoundedCache, CacheReport


def test_it_counts_hits_and_misses() -> None:
    cache: ByteBoundedCache[str, int] = ByteBoundedCache(100)
    assert cache.get("a") is None
    cache.put("a", 1, 10)
    assert cache.get("a") == 1
    assert cache.report() == CacheReport(hits=1, misses=1, bytes=10, entries=1)


def test_the_least_recently_used_goes_first() -> None:
    cache: ByteBoundedCache[str, int] = ByteBoundedCache(30)
    for key in "abc":
        cache.put(key, ord(key), 10)
    cache.get("a")
    cache.put("d", 4, 10)
    assert [key for key in "abcd" if cache.get(key) is not None] == ["a", "c", "d"]


def test_a_value_larger_than_the_cache_is_not_kept() -> None:
    cache: ByteBoundedCache[str, int] = ByteBoundedCache(30)
    cache.put("a", 1, 10)
    cache.put("b", 2, 31)
    assert cache.get("a") == 1
    assert cache.report().entries == 1


def test_putting_again_replaces_the_size() -> None:
    cache: ByteBoundedCache[str, int] = ByteBoundedCache(30)
    cache.put("a", 1, 10)
    cache.put("a", 2, 20)
    assert cache.report().bytes == 20
    assert cache.get("a") == 2


def test_without_capacity_it_keeps_nothing() -> None:
    cache: ByteBoundedCache[str, int] = ByteBoundedCache(0)
    cache.put("a", 1, 1)
    assert cache.report().entries == 0


def test_threads_leave_its_books_in_order() -> None:
    cache: ByteBoundedCache[int, int] = ByteBoundedCache(500)

    def use(start: int) -> None:
        for step in range(2000):
            key = (start + step) % 90
            if cache.get(key) is None:
                cache.put(key, key, 10)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(use, range(0, 80, 20)))
    report = cache.report()
    assert report.hits + report.misses == 8000
    assert report.bytes == 10 * report.entries <= 500
