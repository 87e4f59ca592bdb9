"""What the CPU can do and how much of it is ours. Reads the kernel's files; changes nothing."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping
from pathlib import Path

from layers.artifact import InstructionSet
from layers.errors import ArtifactError

CPUINFO = Path("/proc/cpuinfo")
CGROUP_ROOT = Path("/sys/fs/cgroup")
PROCESS_CGROUPS = Path("/proc/self/cgroup")

# Memory above which Lambda adds a virtual CPU. 1,769 MB for the first is documented, the further
# steps were given at re:Invent 2020. The guest always sees at least 2, whatever share it has.
LAMBDA_MIB_PER_CPU = 1769
LAMBDA_MAX_CPUS = 6


def instruction_set(cpuinfo: Path = CPUINFO, machine: str | None = None) -> InstructionSet:
    """The instruction set that int8 products run on here.

    Raises ArtifactError on a machine no artifact is built for (x86-64 without AVX2, other machines).
    """
    machine = (machine or platform.machine()).lower()
    if machine in ("aarch64", "arm64"):
        return "arm64"
    if machine not in ("x86_64", "amd64"):
        raise ArtifactError(f"no artifact runs on {machine!r}: expected x86_64 or arm64")
    flags = cpu_flags(cpuinfo)
    if "avx512_vnni" in flags or "avx_vnni" in flags:
        return "x86_64-vnni"
    if "avx2" in flags or not flags:
        return "x86_64-avx2"
    raise ArtifactError("this CPU has no AVX2, which every x86_64 artifact needs")


def cpu_flags(cpuinfo: Path = CPUINFO) -> frozenset[str]:
    """The flags of the first CPU; empty where the kernel does not list them (macOS, Windows)."""
    try:
        with cpuinfo.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                key, _, value = line.partition(":")
                if key.strip() in ("flags", "Features"):
                    return frozenset(value.split())
    except OSError:
        pass
    return frozenset()


def thread_count(
    environ: Mapping[str, str] = os.environ,
    cgroup_root: Path = CGROUP_ROOT,
    process_cgroups: Path = PROCESS_CGROUPS,
) -> int:
    """Threads that can run at once without being throttled: the least of affinity, quotas and Lambda share.

    Quotas are rounded down: a thread beyond the quota makes all of them wait for the next period.
    """
    shares = [_visible_cpus(), *_cgroup_quotas(cgroup_root, process_cgroups)]
    memory_mib = environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "")
    if memory_mib.isdecimal() and int(memory_mib) > 0:
        shares.append(min(-(-int(memory_mib) // LAMBDA_MIB_PER_CPU), LAMBDA_MAX_CPUS))
    return max(1, int(min(shares)))


def _visible_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cgroup_quotas(root: Path, process_cgroups: Path) -> Iterator[float]:
    """CPUs allowed by every group from the process's own up to the root (a parent's quota binds its children)."""
    try:
        entries = process_cgroups.read_text(encoding="utf-8").splitlines()
    except OSError:
        entries = []
    for entry in ["0::/", "0:cpu:/", *entries]:
        _, _, rest = entry.partition(":")
        controllers, _, group = rest.partition(":")
        relative = Path(group.lstrip("/"))
        for level in (relative, *relative.parents):
            if not controllers:
                for mount in (root, root / "unified"):
                    yield from _quota_v2(mount / level / "cpu.max")
            elif "cpu" in controllers.split(","):
                for mount in (root / controllers, root / "cpu"):
                    yield from _quota_v1(mount / level)


def _quota_v2(path: Path) -> Iterator[float]:
    quota, _, period = _read(path).partition(" ")
    if quota.isdecimal() and period.isdecimal() and int(period):
        yield int(quota) / int(period)


def _quota_v1(directory: Path) -> Iterator[float]:
    quota = _read(directory / "cpu.cfs_quota_us")
    period = _read(directory / "cpu.cfs_period_us")
    if quota.isdecimal() and period.isdecimal() and int(period):
        yield int(quota) / int(period)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
