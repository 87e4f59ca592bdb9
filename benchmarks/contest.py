"""Contenders in processes of their own, taking turns: A B C, A B C ... so that a slow spell of the machine hits all.

Each contender lives in a worker process, loads once, and answers "run this case N times" over its pipes. Only one
works at a time; a process that waits on its pipe spins no threads, which an idle session in the same process would.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from time import sleep
from typing import IO, Any

from benchmarks.process_memory import PEAK, mib

ROUNDS = 12
# Calls per turn: enough that a turn lasts at least this long, so that waking up does not count.
SECONDS_PER_TURN = 0.15
# Thread pools of most runtimes spin for a while after a run; the next contender waits until they have stopped, and
# its first call of a turn, which wakes its own, is not counted.
SETTLE_SECONDS = 0.1
# A contender that has had this long on a case sits the remaining rounds out.
SECONDS_PER_CASE = 5.0
# One that takes longer than this for its first call is not called again, and that call counts.
ONE_CALL_SECONDS = 10.0
# A fact of contenders whose first call of a case compiles: it is made before and counts for nothing.
COMPILES = "compiles"
# One call warms up a contender that takes longer than this; two warm up the others.
SLOW_SECONDS = 2.0


@dataclass(frozen=True)
class Result:
    """Milliseconds of one contender on one case: median and quartiles over all calls of all rounds."""

    median_ms: float
    low_ms: float
    high_ms: float
    calls: int


@dataclass(frozen=True)
class Standing:
    """One contender: its results by case, or why it could not run, and what it said of itself when it loaded.

    `peak_mib` is the most that its process had resident, over all cases; None where it has ended by itself.
    """

    name: str
    results: dict[str, Result]
    error: str | None
    facts: dict[str, Any]
    peak_mib: float | None = None


class Worker:
    """A contender's process. `module` is run as `python -m MODULE NAME ARGUMENT`, by this interpreter or another."""

    def __init__(
        self, name: str, module: str, arguments: Sequence[str], threads: int, python: str = sys.executable
    ) -> None:
        self.name = name
        self.facts: dict[str, Any] = {}
        self.error: str | None = None
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": str(threads),
            "MKL_NUM_THREADS": str(threads),
            "TOKENIZERS_PARALLELISM": "false",
            "PYTHONWARNINGS": "ignore",
            "HUNDREDFOLD_THREADS": str(threads),
        }
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115  # for as long as the process
        self._process = subprocess.Popen(
            [python, "-m", module, name, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            text=True,
            env=environment,
        )
        loaded = self._answer()
        self.facts = loaded.get("facts", {})

    def call(self, case: str, count: int) -> list[float]:
        """Milliseconds of `count` calls; empty once the contender has failed."""
        if self.error is not None:
            return []
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"case": case, "count": count}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            self.error = self._end()
            return []
        times: list[float] = self._answer().get("times", [])
        return times

    def peak_mib(self) -> float | None:
        """The most that the process has had resident, if it is still there."""
        try:
            return mib(PEAK, self._process.pid)
        except LookupError:
            return None

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        self._complaints.close()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        # Libraries print to standard output when they like; answers are the lines that are JSON objects.
        for line in self._process.stdout:
            if line.startswith("{"):
                answer: dict[str, Any] = json.loads(line)
                self.error = answer.get("error")
                return answer
        self.error = self._end()
        return {}

    def _end(self) -> str:
        """Why a process ended that was not asked to: its status, and the last that it wrote to standard error."""
        return f"process ended with status {self._process.wait()}: {last_line(self._complaints)}"


def last_line(complaints: IO[bytes]) -> str:
    """The last line of what a process wrote to standard error, cut to what fits into a table."""
    complaints.seek(0)
    lines = [line.strip() for line in complaints.read().decode("utf-8", "replace").splitlines() if line.strip()]
    return lines[-1][:300] if lines else "nothing on standard error"


def hold(workers: Sequence[Worker], cases: Sequence[str], say: Any, rounds: int = ROUNDS) -> list[Standing]:
    """Every worker on every case, in turns. Workers that failed stay in the standings with their error."""
    times: dict[tuple[str, str], list[float]] = {}
    for case in cases:
        counts = {}
        for worker in workers:
            if worker.facts.get(COMPILES):
                worker.call(case, 1)
            first = worker.call(case, 1)
            if first and first[0] > ONE_CALL_SECONDS * 1e3:
                times[worker.name, case] = first
            elif first and first[0] < SLOW_SECONDS * 1e3:
                first = worker.call(case, 1)
            counts[worker.name] = max(1, min(50, round(SECONDS_PER_TURN * 1e3 / first[-1]))) if first else 1
        for _ in range(rounds):
            for worker in workers:
                had = times.setdefault((worker.name, case), [])
                if sum(had) < SECONDS_PER_CASE * 1e3:
                    sleep(SETTLE_SECONDS)
                    count = counts[worker.name]
                    had.extend(worker.call(case, count + 1)[1:] if count > 1 else worker.call(case, 1))
        say(case, {worker.name: _median(times.get((worker.name, case), [])) for worker in workers})
    return [
        Standing(
            worker.name,
            {case: _result(times[worker.name, case]) for case in cases if times.get((worker.name, case))},
            worker.error,
            worker.facts,
            worker.peak_mib(),
        )
        for worker in workers
    ]


def hold_between(
    names: Iterable[str],
    module: str,
    cases: Sequence[str],
    threads: int,
    say: Any,
    rounds: int = ROUNDS,
    arguments: Sequence[str] = (),
) -> dict[str, Any]:
    """Start every contender of `module`, hold the contest, end them; the standings as JSON has them."""
    workers = [Worker(name, module, arguments, threads) for name in names]
    try:
        standings = hold(workers, cases, say, rounds)
    finally:
        for worker in workers:
            worker.close()
    return {"cases": cases, "threads": threads, "standings": [asdict(standing) for standing in standings]}


def _result(times: Sequence[float]) -> Result:
    low, median, high = statistics.quantiles(times, n=4) if len(times) > 1 else (times[0],) * 3
    return Result(round(median, 3), round(low, 3), round(high, 3), len(times))


def _median(times: Sequence[float]) -> float | None:
    return round(statistics.median(times), 2) if times else None


def serve(contenders: Mapping[str, Any], name: str, arguments: Sequence[str]) -> None:
    """The worker's side: load the contender, then answer cases until the pipe closes."""
    import traceback
    from time import perf_counter

    try:
        call, facts = contenders[name](*arguments)
    except Exception as error:
        traceback.print_exc()
        print(json.dumps({"error": f"{type(error).__name__}: {error}"[:300]}), flush=True)
        return
    print(json.dumps({"facts": facts}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        times = []
        try:
            for _ in range(request["count"]):
                started = perf_counter()
                call(request["case"])
                times.append((perf_counter() - started) * 1e3)
            print(json.dumps({"times": times}), flush=True)
        except Exception as error:
            traceback.print_exc()
            print(json.dumps({"error": f"{type(error).__name__}: {error}"[:300]}), flush=True)
