"""Memory is lent once at a time, grows in steps, stays within its budget, and is not allocated twice."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from threading import Barrier, Thread
from time import sleep

import numpy as np
import pytest

from layers.errors import InputError
from layers.generation import CacheLayout
from layers.runtime.generation.slots import Slot, SlotPool, bytes_per_token, capacity_for, common_prefix

LAYOUT = CacheLayout(layers=2, kv_heads=3, head_dim=4)
TOKEN = bytes_per_token(LAYOUT)


def pool(*, budget_tokens: int = 4096, max_slots: int = 2, wait_seconds: float = 0.0) -> SlotPool:
    return SlotPool(
        LAYOUT, max_tokens=1000, budget_bytes=budget_tokens * TOKEN, max_slots=max_slots, wait_seconds=wait_seconds
    )


def test_capacity_grows_in_steps() -> None:
    assert [capacity_for(tokens, 1000) for tokens in (1, 256, 257, 513, 1000)] == [256, 256, 512, 1000, 1000]
    assert capacity_for(5, 100) == 100
    assert TOKEN == 2 * 2 * 3 * 4 * 4


def test_common_prefix() -> None:
    one = np.array([1, 2, 3])
    assert [common_prefix(one, np.array(other, dtype=np.int64)) for other in ([], [2], [1, 2, 9], [1, 2, 3, 4])] == [
        0, 0, 2, 3,
    ]  # fmt: skip


def test_growing_keeps_what_the_rows_hold() -> None:
    slot = Slot(LAYOUT)
    slot.shape(2, 256)
    for place, view in enumerate(slot.views):
        view[0, :, :10] = place
        view[1, :, :20] = -place
    slot.shape(2, 512, kept=[10, 20])
    assert slot.capacity == 512
    slot.shape(3, 512, kept=[10, 20])
    assert [view.shape for view in slot.views] == [(3, 3, 512, 4)] * 4
    for place, view in enumerate(slot.views):
        assert (view[0, :, :10] == place).all()
        assert (view[1, :, :20] == -place).all()
    assert slot.allocations == 3


def test_what_fits_is_not_allocated_again() -> None:
    slot = Slot(LAYOUT)
    slot.shape(4, 512)
    memory = slot.views[0].ctypes.data
    for rows, capacity in ((1, 256), (4, 300), (2, 512), (1, 512), (2, 1000)):
        slot.shape(rows, capacity)
        assert slot.rows == rows
        assert slot.capacity >= capacity
        assert slot.views[0].ctypes.data == memory
    assert slot.allocations == 1


def test_fewer_rows_keep_what_they_hold() -> None:
    slot = Slot(LAYOUT)
    slot.shape(3, 256)
    slot.views[0][1, :, :7] = 5
    slot.shape(2, 8, kept=[7, 7])
    assert (slot.views[0][1, :, :7] == 5).all()


def test_a_request_beyond_the_budget_is_refused_before_any_work() -> None:
    one = pool(budget_tokens=600)
    with pytest.raises(InputError, match=r"3 x 200 tokens = 147,456 bytes, expected at most 115,200") as refusal:
        one.acquire(3, 200)
    assert refusal.value.status == 422
    assert one.held_bytes() == 0
    assert one.rows_within_budget(200) == 2


def test_a_busy_pool_says_so() -> None:
    one = pool(max_slots=1)
    slot = one.acquire(1, 10)
    with pytest.raises(InputError, match="busy") as refusal:
        one.acquire(1, 10)
    assert (refusal.value.status, refusal.value.error_type) == (429, "overloaded")
    one.release(slot)
    assert one.acquire(1, 10) is slot


def test_running_requests_share_the_budget() -> None:
    one = pool(budget_tokens=600, max_slots=5)
    held = [one.acquire(1, 10), one.acquire(1, 10)]
    with pytest.raises(InputError, match="busy"):
        one.acquire(1, 10)
    one.release(held.pop())
    assert one.acquire(1, 10) not in held


def test_idle_memory_makes_room() -> None:
    one = pool(budget_tokens=1100, max_slots=3)
    slots = [one.acquire(1, 250) for _ in range(3)]
    for slot in slots:
        slot.shape(1, 256)
        one.release(slot)
    assert one.held_bytes() == 3 * 256 * TOKEN
    large = one.acquire(1, 900)
    large.shape(1, 1000)
    assert one.held_bytes() <= 1100 * TOKEN


def test_the_slot_that_holds_most_of_the_prompt_is_taken() -> None:
    one = pool(max_slots=3)
    slots = [one.acquire(1, 10) for _ in range(3)]
    for place, slot in enumerate(slots):
        slot.tokens = np.array([1, 2, place, 4])
        one.release(slot)
    assert one.acquire(1, 10, np.array([1, 2, 1, 9])) is slots[1]


def test_those_who_wait_get_their_turn() -> None:
    one = pool(max_slots=2, wait_seconds=30)
    running, most, start = [], [0], Barrier(8)

    def work() -> None:
        start.wait()
        for _ in range(5):
            slot = one.acquire(1, 10)
            assert slot not in running
            running.append(slot)
            most[0] = max(most[0], len(running))
            running.remove(slot)
            one.release(slot)

    threads = [Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] <= 2
    assert running == []


def test_nobody_goes_before_a_request_that_has_waited_long() -> None:
    lender = SlotPool(
        LAYOUT, max_tokens=1000, budget_bytes=4 * 256 * TOKEN, max_slots=4, wait_seconds=30, patience_seconds=0
    )
    held, served = lender.acquire(3, 256), []

    def work(rows: int) -> None:
        slot = lender.acquire(rows, 256)
        served.append(rows)
        lender.release(slot)

    with ThreadPoolExecutor(2) as threads:
        large = threads.submit(work, 4)
        while not lender.is_pressed():
            sleep(0.001)
        small = threads.submit(work, 1)
        # There is room for it now, and it must not take it.
        wait([small], timeout=0.2)
        lender.release(held)
        wait([large, small])
    assert served == [4, 1]
    assert not lender.is_pressed()


def test_a_lent_slot_grows_as_far_as_others_leave_memory() -> None:
    lender = pool(budget_tokens=4 * 256)
    growing = lender.acquire(1, 256)
    growing.shape(1, 256)
    assert lender.resize(growing, 3, 256)
    other = lender.acquire(1, 200)
    assert not lender.resize(growing, 4, 256)
    assert not lender.resize(growing, 2, 512)
    lender.release(other)
    assert lender.resize(growing, 2, 512)
    assert lender.held_bytes() == 2 * 512 * TOKEN
    # What it has allocated counts, whatever it says that it needs.
    growing.shape(2, 512)
    assert lender.resize(growing, 1, 1)
    assert lender.held_bytes() == 2 * 512 * TOKEN
