"""SnapStart: what has to change when Lambda restores a snapshot of an initialized environment on another machine.

onnxruntime and numpy choose their kernels once, when they are loaded, by the CPU of that moment. A snapshot restored on
a CPU without one of those instructions would end in an illegal instruction, or in a variant that saturates, so the
process ends instead and Lambda starts another.
"""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from layers.runtime.cpu import cpu_flags

logger = logging.getLogger("hundredfold.snapstart")

# Flags of instructions that kernels are chosen by; others (mitigations, power states) differ without harm.
INSTRUCTIONS = (
    "avx", "amx", "sse", "ssse", "fma", "f16c", "bmi", "gfni", "vaes", "vpclmul", "popcnt", "movbe",  # x86-64
    "asimd", "fphp", "sve", "sme", "i8mm", "bf16", "atomics",  # arm64
)  # fmt: skip


class Registry(Protocol):
    """The runtime hooks of `snapshot_restore_py`, which Lambda's runtime client calls."""

    def register_before_snapshot(self, func: Callable[..., Any]) -> Any:
        """Call `func` before the snapshot is taken."""

    def register_after_restore(self, func: Callable[..., Any]) -> Any:
        """Call `func` after every restore, within 10 s."""


class Restoration:
    """Renews what must not be shared by copies of one snapshot. Made when the models are loaded."""

    def __init__(
        self,
        renewals: Iterable[Callable[[], object]] = (),
        *,
        flags: Callable[[], frozenset[str]] = cpu_flags,
        end: Callable[[int], object] = os._exit,
    ) -> None:
        """`renewals` are called after a restore, such as those that make clients with new connections."""
        self._renewals = tuple(renewals)
        self._flags = flags
        self._end = end
        self._at_load = instructions_of(flags())

    def after_restore(self) -> None:
        """End the process when an instruction of the snapshot's CPU is missing; otherwise reseed and renew."""
        lost = sorted(self._at_load - instructions_of(self._flags()))
        if lost:
            logger.error("restored on a CPU without %s: this environment ends", ", ".join(lost))
            self._end(1)
            return
        # Draws of a request are seeded by the operating system (secrets), which Lambda reseeds; this is for libraries.
        random.seed()
        for renew in self._renewals:
            renew()
        logger.info("restored")


def instructions_of(flags: frozenset[str]) -> frozenset[str]:
    """The flags that kernels are chosen by."""
    return frozenset(flag for flag in flags if flag.startswith(INSTRUCTIONS))


def register(
    restoration: Restoration, registry: Registry | None = None, environ: Mapping[str, str] = os.environ
) -> bool:
    """Have Lambda call the restoration; False where there is no snapshot, which is everywhere else."""
    if environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") != "snap-start":
        return False
    if registry is None:
        import snapshot_restore_py

        registry = snapshot_restore_py
    registry.register_after_restore(restoration.after_restore)
    return True
