"""Lambda's init phase: how long a warm inference may take of it.

Past 10 s Lambda breaks an init off and begins it anew in the first invocation, which then waits for both (docs:
lambda-runtime-environment). With provisioned concurrency and SnapStart nobody waits, and the phase is as long as the
function's timeout.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

UNBOUNDED = ("provisioned-concurrency", "snap-start")


def warm_until(
    budget_seconds: float,
    environ: Mapping[str, str] = os.environ,
    *,
    age_seconds: Callable[[], float] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> float | None:
    """The reading of `clock` at which warming has to be over, counted from the start of the process; None for never."""
    if environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") in UNBOUNDED:
        return None
    return clock() + budget_seconds - (age_seconds or process_age_seconds)()


def process_age_seconds(stat: Path = Path("/proc/self/stat"), uptime: Path = Path("/proc/uptime")) -> float:
    """Seconds since this process began, imports before this one included; 0 where the kernel does not say."""
    try:
        # Field 22, counted behind the command's name, which may hold spaces.
        started = int(stat.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[19])
        return max(0.0, float(uptime.read_text(encoding="ascii").split()[0]) - started / os.sysconf("SC_CLK_TCK"))
    except (OSError, ValueError, IndexError):
        return 0.0
