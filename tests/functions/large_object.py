"""An object of many lines through the bucket function in a process of its own: prints counts and memory.

    python -m tests.functions.large_object DIRECTORY LINES

The model is one that answers at once, so that the function's own memory and work show. An invocation has time for a
few parts, so the rest is handed on many times.
"""

from __future__ import annotations

import io
import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from functions.asking import Answered, Asked, Outcome
from functions.bucket.folder_store import FolderStore
from functions.bucket.function import BucketFunction, Place
from functions.bucket.object_work import Limits
from functions.bucket.rows import Reading
from functions.emf import Metrics
from tests.functions.conftest import read_event

LINES_A_BLOCK = 10_000
ROWS_AN_INVOCATION = 50_000


class QuickModels:
    """Answers with the length of a text, and counts rows."""

    def __init__(self) -> None:
        self.rows = 0
        self.peak_mib = 0.0

    def name_of(self, model: str | None) -> str:
        return model or "quick"

    def answer(self, asked: Sequence[Asked]) -> list[Outcome]:
        self.rows += len(asked)
        self.peak_mib = max(self.peak_mib, resident_mib())
        return [Answered({"outputs": len(one.request.inputs)}, 1) for one in asked]


class RowContext:
    """Time that is used up with so many rows."""

    def __init__(self, models: QuickModels) -> None:
        self._models, self._end = models, models.rows + ROWS_AN_INVOCATION

    def get_remaining_time_in_millis(self) -> int:
        return 3_600_000 if self._models.rows < self._end else 0


def main(directory: Path, lines: int) -> None:
    """Write the object, work it off, and print what was found."""
    event = read_event("s3")
    event["Records"][0]["s3"]["object"] = {"key": "large.txt", "sequencer": "0A"}
    bucket = directory / event["Records"][0]["s3"]["bucket"]["name"]
    bucket.mkdir(parents=True)
    with (bucket / "large.txt").open("w", encoding="utf-8") as file:
        for start in range(0, lines, LINES_A_BLOCK):
            file.writelines(f"text number {n} of many\n" for n in range(start, min(lines, start + LINES_A_BLOCK)))
    models, before_mib = QuickModels(), resident_mib()
    invocations = work_off(directory, event, models)
    summary = json.loads((bucket / "results/large.txt/summary.json").read_text(encoding="utf-8"))
    seen: Counter[str] = Counter()
    last = 0
    for part in summary["parts"]:
        with (bucket / part).open(encoding="utf-8") as file:
            for line in file:
                number = json.loads(line)["line"]
                seen["in order" if number == last + 1 else "out of order"] += 1
                last = number
    found = {"invocations": invocations, "parts": len(summary["parts"]), "counts": summary["counts"], **seen}
    print(json.dumps({**found, "grown_mib": round(models.peak_mib - before_mib, 1)}))


def resident_mib() -> float:
    """What the process holds of memory now; its peak so far would hide what imports took and gave back."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def work_off(directory: Path, event: dict[str, Any], models: QuickModels) -> int:
    """Invoke until nothing is handed on; how often that was."""
    store, waiting = FolderStore(directory), [event]
    function = BucketFunction(
        store, store, Place(None, "results/"), models, "quick", {}, Reading("text", {}, 2_000_000),
        Limits(3600.0, 2**23), lambda rest, _: waiting.append(rest) is None, Metrics("bucket", io.StringIO()), 2.0,
    )  # fmt: skip
    invocations = 0
    while waiting:
        invocations += 1
        function.handle(waiting.pop(), RowContext(models))
    return invocations


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
