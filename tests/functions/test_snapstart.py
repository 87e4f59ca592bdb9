"""SnapStart's hooks: on the same CPU everything is renewed, on a lesser one the process ends."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from typing import Any

import pytest

from functions.snapstart import Restoration, instructions_of, register

VNNI = frozenset({"fpu", "sse4_2", "avx2", "fma", "avx512f", "avx512_vnni", "hypervisor"})
AVX2 = frozenset({"fpu", "sse4_2", "avx2", "fma", "ssbd"})


class Registry:
    """What `snapshot_restore_py` is to Lambda's runtime client."""

    def __init__(self) -> None:
        self.before: list[Callable[[], Any]] = []
        self.after: list[Callable[[], Any]] = []

    def register_before_snapshot(self, func: Callable[..., Any]) -> None:
        self.before.append(func)

    def register_after_restore(self, func: Callable[..., Any]) -> None:
        self.after.append(func)


class Machine:
    """A CPU that changes while the process is a snapshot."""

    def __init__(self, flags: frozenset[str]) -> None:
        self.flags = flags
        self.ended: list[int] = []
        self.renewed = 0

    def renew(self) -> None:
        self.renewed += 1

    def restore_on(self, flags: frozenset[str]) -> None:
        """Take a snapshot here and restore it on a CPU with those flags."""
        registry = Registry()
        restoration = Restoration([self.renew], flags=lambda: self.flags, end=self.ended.append)
        assert register(restoration, registry, {"AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start"})
        for hook in registry.before:
            hook()
        self.flags = flags
        for hook in registry.after:
            hook()


@pytest.mark.parametrize(("snapshot", "here"), [(VNNI, VNNI), (AVX2, VNNI), (AVX2 | {"ssbd"}, AVX2 - {"ssbd"})])
def test_on_a_cpu_that_has_everything_clients_are_renewed(snapshot: frozenset[str], here: frozenset[str]) -> None:
    machine = Machine(snapshot)
    machine.restore_on(here)
    assert (machine.ended, machine.renewed) == ([], 1)


def test_on_a_lesser_cpu_the_process_ends_and_says_why(caplog: pytest.LogCaptureFixture) -> None:
    machine = Machine(VNNI)
    with caplog.at_level(logging.ERROR, "hundredfold.snapstart"):
        machine.restore_on(AVX2)
    assert (machine.ended, machine.renewed) == ([1], 0)
    assert "without avx512_vnni, avx512f" in caplog.text


def test_copies_of_a_snapshot_draw_different_numbers() -> None:
    machine = Machine(VNNI)
    state = random.getstate()
    drawn = []
    for _ in range(2):
        random.setstate(state)
        machine.restore_on(VNNI)
        drawn.append(random.random())
    random.setstate(state)
    drawn.append(random.random())
    assert len(set(drawn)) == 3


@pytest.mark.parametrize("kind", [None, "on-demand", "provisioned-concurrency"])
def test_without_snapshots_nothing_is_registered(kind: str | None) -> None:
    registry = Registry()
    environ = {} if kind is None else {"AWS_LAMBDA_INITIALIZATION_TYPE": kind}
    assert not register(Restoration(), registry, environ)
    assert registry.after == []


def test_lambdas_own_registry_takes_the_hooks() -> None:
    import snapshot_restore_py

    before = len(snapshot_restore_py.get_after_restore())
    restoration = Restoration()
    assert register(restoration, environ={"AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start"})
    function, _, _ = snapshot_restore_py.get_after_restore()[before]
    assert function == restoration.after_restore


def test_instructions_of_both_architectures_count() -> None:
    assert instructions_of(frozenset({"fp", "asimddp", "i8mm", "cpuid"})) == {"asimddp", "i8mm"}
    assert instructions_of(VNNI) == VNNI - {"fpu", "hypervisor"}
