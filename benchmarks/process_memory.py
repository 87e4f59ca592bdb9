"""Memory of a process as Linux counts it for that process alone.

`ru_maxrss` is no such figure: a child begins with the peak of the process that started it.
"""

from __future__ import annotations

from pathlib import Path

RESIDENT, MAPPED_FILES, PEAK = "VmRSS", "RssFile", "VmHWM"


def mib(field: str, process: int | str = "self") -> float:
    """MiB of one field of /proc/PROCESS/status. Raises LookupError for a process that has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise LookupError(f"process {process} is gone") from error
    for line in lines:
        if line.startswith(f"{field}:"):
            return round(int(line.split()[1]) / 1024, 1)
    raise LookupError(f"process {process} has no {field}: it has ended")
