"""How much memory this process may have. Reads the kernel's files; changes nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from layers.runtime.cpu import CGROUP_ROOT

MEBIBYTE = 2**20
MEMINFO = Path("/proc/meminfo")


def memory_bytes(
    environ: Mapping[str, str] = os.environ, cgroup_root: Path = CGROUP_ROOT, meminfo: Path = MEMINFO
) -> int | None:
    """The least of the function's memory, the group's limit and the machine's; None where nothing says.

    A container sees its own group as the root, which is why no other is looked at.
    """
    limits = [
        int(text)
        for text in (_read(cgroup_root / "memory.max"), _read(cgroup_root / "memory" / "memory.limit_in_bytes"))
        if text.isdecimal()
    ]
    function_mib = environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "")
    if function_mib.isdecimal():
        limits.append(int(function_mib) * MEBIBYTE)
    for line in _read(meminfo).splitlines():
        name, _, amount = line.partition(":")
        if name == "MemTotal":
            limits.append(int(amount.split()[0]) * 1024)
    return min(limits, default=None)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
