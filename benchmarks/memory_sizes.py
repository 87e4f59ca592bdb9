"""The planner's scaling against runs under CPU quotas: what a function of each memory size would have.

    python -m benchmarks memory_sizes        needs root and Linux control groups (version 1 or 2)

A Linux quota on this machine stands in for Lambda, which gives a function a share of a CPU the same way; 20 ms is the
period that is reported of it. Workers take turns; the prediction is made from the workers without a quota of the same
run, so that a slow spell of the machine hits both.
"""

from __future__ import annotations

import math
import os
import statistics
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.contest import Worker, serve
from benchmarks.example_artifacts import prepare
from infra.planner.assumptions import Assumptions
from infra.planner.latency import Latency, pause_ms, vcpus_of

GROUPS = Path("/sys/fs/cgroup/cpu") if Path("/sys/fs/cgroup/cpu").is_dir() else Path("/sys/fs/cgroup")
PERIOD_US = 20_000
MEMORY_MIB = (512, 884, 1280, 1769, 2654, 3538)
TOKENS = ("8", "32", "128")
ROUNDS = 6
SECONDS_PER_TURN = 0.4


def run(say: Callable[..., None]) -> dict[str, Any]:
    """By model, tokens and memory: mean and 95th percentile as planned, and mean, median and 95th as measured."""
    return {name: _model(directory, say) for name, directory in prepare(say).items()}


def _model(directory: Path, say: Callable[..., None]) -> dict[str, Any]:
    cpus = len(os.sched_getaffinity(0))
    sizes = [memory for memory in MEMORY_MIB if vcpus_of(memory) <= cpus + 0.01]
    free = [_worker(directory, threads, None) for threads in range(1, cpus + 1)]
    with _groups(sizes) as groups:
        limited = [_worker(directory, math.ceil(vcpus_of(memory) - 0.01), groups[memory]) for memory in sizes]
        try:
            cases = {tokens: _case(tokens, free, dict(zip(sizes, limited, strict=True))) for tokens in TOKENS}
        finally:
            for worker in (*free, *limited):
                worker.close()
    say(directory.name, {tokens: case["sizes"] for tokens, case in cases.items()})
    return cases


def _case(tokens: str, free: list[Worker], limited: dict[int, Worker]) -> dict[str, Any]:
    times: dict[Worker, list[float]] = {worker: [] for worker in (*free, *limited.values())}
    for worker in times:
        worker.call(tokens, 3)
    for _ in range(ROUNDS):
        for worker, had in times.items():
            had += _turn(worker, tokens)
    unlimited = [_spread(times[worker]) for worker in free]
    predict = predictor({threads: spread["median_ms"] for threads, spread in enumerate(unlimited, start=1)})
    sizes = {str(memory): {**predict(memory), **_spread(times[worker])} for memory, worker in limited.items()}
    return {"without a quota": {str(n): spread for n, spread in enumerate(unlimited, start=1)}, "sizes": sizes}


def predictor(medians_ms: dict[int, float]) -> Callable[[int], dict[str, float]]:
    """What the planner would say of each memory size, had the build measured these medians by thread count."""
    latency, assumed = Latency(tuple(medians_ms.items())), Assumptions()

    def predict(memory_mib: int) -> dict[str, float]:
        vcpus = round(vcpus_of(memory_mib), 2)
        warm = latency.on_share(vcpus, assumed.throttled_over_share)
        slow = warm * assumed.p95_over_p50 + pause_ms(vcpus, assumed.throttle_period_ms)
        return {"planned_mean_ms": round(warm * assumed.mean_over_p50, 3), "planned_p95_ms": round(slow, 3)}

    return predict


def _turn(worker: Worker, tokens: str) -> list[float]:
    """Calls back to back for a while: a share is only felt when it is used up."""
    first = worker.call(tokens, 2)[-1]
    return worker.call(tokens, max(2, round(SECONDS_PER_TURN * 1e3 / first)))


def _spread(times: list[float]) -> dict[str, float]:
    figures = {
        "mean_ms": statistics.fmean(times),
        "median_ms": statistics.median(times),
        "p95_ms": statistics.quantiles(times, n=20)[-1],
    }
    return {**{name: round(value, 3) for name, value in figures.items()}, "calls": len(times)}


@contextmanager
def _groups(sizes: list[int]) -> Iterator[dict[int, Path]]:
    """One control group a memory size, with that function's share of a CPU; removed at the end."""
    groups = {memory: GROUPS / f"hundredfold-{memory}-{os.getpid()}" for memory in sizes}
    try:
        for memory, group in groups.items():
            group.mkdir()
            quota = round(vcpus_of(memory) * PERIOD_US)
            if (group / "cpu.max").exists():
                (group / "cpu.max").write_text(f"{quota} {PERIOD_US}")
            else:
                (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
                (group / "cpu.cfs_quota_us").write_text(str(quota))
        yield groups
    finally:
        for group in groups.values():
            if group.is_dir():
                group.rmdir()


def _worker(directory: Path, threads: int, group: Path | None) -> Worker:
    return Worker("engine", __name__, [str(directory), str(threads), str(group or "")], threads)


def _engine(directory: str, threads: str, group: str) -> tuple[Callable[[str], object], dict[str, Any]]:
    """A contender: enters its control group before anything else, then runs one text of so many tokens a call."""
    if group:
        (Path(group) / "cgroup.procs").write_text(str(os.getpid()))
    import numpy as np

    from layers.runtime.alignment import Encoding
    from layers.runtime.engine import Engine

    engine = Engine.load(Path(directory), threads=int(threads))
    ids = np.arange(200, 200 + 512, dtype=np.int64)
    encodings = {tokens: Encoding(ids[: int(tokens)], np.zeros(int(tokens), np.int64), 0) for tokens in TOKENS}
    return lambda tokens: engine.forward([encodings[tokens]]), {"variant": engine.variant.name}


if __name__ == "__main__":
    serve({"engine": _engine}, sys.argv[1], sys.argv[2:])
