"""Containers on this machine: a base that looks like Lambda's, and runs within Lambda's limits.

The base is Debian 12 with Python 3.11, made by mmdebstrap: a stand-in for Amazon Linux, whose registry a test may not
reach.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

BASE_IMAGE = "localhost/lambda-look-alike:3.11"
PACKAGES = "python3,python3-venv,ca-certificates"
# Machines differ in cgroups and in what root may raise: runc, cgroupfs and fixed limits work on all that were tried.
ENGINE_SETTINGS = """[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
"""
Run = Callable[[Sequence[str]], "subprocess.CompletedProcess[str]"]
MEMORY_MIB = 1769
# What Lambda gives a function: a read-only root, its own /tmp, one CPU at 1,769 MiB, a user of its own, nothing else.
LIMITS = [
    "--read-only",
    "--tmpfs", "/tmp:rw,size=512m,mode=1777",
    "--ipc", "none",
    "--memory", f"{MEMORY_MIB}m",
    "--memory-swap", f"{MEMORY_MIB}m",
    "--cpus", "1",
    "--user", "993:990",
    "--cap-drop", "all",
    "--security-opt", "no-new-privileges",
    "--network", "host",
]  # fmt: skip


def prepare(work: Path) -> dict[str, str]:
    """Settings of podman for these tests alone, as environment variables; its images are kept in `work`."""
    work.mkdir(parents=True, exist_ok=True)
    (work / "containers.conf").write_text(ENGINE_SETTINGS)
    places = f'graphroot = "{work / "storage"}"\nrunroot = "{work / "run"}"\n'
    (work / "storage.conf").write_text(f'[storage]\ndriver = "overlay"\n{places}')
    return {
        "CONTAINERS_CONF": str(work / "containers.conf"),
        "CONTAINERS_STORAGE_CONF": str(work / "storage.conf"),
    }


def why_not(work: Path, which: Callable[[str], str | None] = shutil.which, run: Run | None = None) -> str | None:
    """Why no container can be run here; None when one ran within Lambda's limits. Makes the base if missing."""
    run = run or _run
    missing = [name for name in ("podman", "runc", "mmdebstrap") if which(name) is None]
    if missing:
        return f"{', '.join(missing)} not installed"
    steps: list[Sequence[str]] = []
    if run(["podman", "image", "exists", BASE_IMAGE]).returncode != 0:
        tar = work / "base.tar"
        if not tar.is_file():
            making = f"{tar}.part"
            steps.append(
                ["mmdebstrap", "--variant=minbase", f"--include={PACKAGES}", "--format=tar", "bookworm", making]
            )
            steps.append(["mv", making, str(tar)])
        steps.append(["podman", "import", str(tar), BASE_IMAGE])
    steps.append(["podman", "run", "--rm", *LIMITS, BASE_IMAGE, "true"])
    for step in steps:
        done = run(step)
        if done.returncode != 0:
            return f"{step[0]} {step[1]}: {done.stderr.strip()[-300:]}"
    return None


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


def podman(*arguments: str, check: bool = False) -> subprocess.CompletedProcess[str]:
    """Run podman; its settings are in the environment."""
    return subprocess.run(["podman", *arguments], capture_output=True, text=True, check=check, env=os.environ)
