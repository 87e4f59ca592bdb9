"""A closed loop against servers on this machine: 1, 4 and 16 clients ask, wait for the answer, and ask again.

Servers are this project's local one and the naive and the tuned torch deployments under uvicorn, one at a time. Clients
are threads of this process and take their share of the same cores.
"""

from __future__ import annotations

import http.client
import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import islice
from threading import Thread
from time import monotonic, perf_counter, sleep
from typing import Any

from benchmarks.ledger import NAIVE, READING, TUNED
from benchmarks.ledger_workloads import CLASSIFY, prepare, texts, workloads
from benchmarks.naive import Choices, application
from benchmarks.process_memory import RESIDENT, mib
from benchmarks.servers import running
from benchmarks.tables import header

CLIENTS = (1, 4, 16)
SECONDS = 6.0
OURS = "hundredfold"
SERVERS = (OURS, TUNED, NAIVE)
WARM_REQUESTS = 10
SAMPLES = 12


def run(
    say: Callable[..., None],
    seconds: float = SECONDS,
    servers: Sequence[str] = SERVERS,
    numbers: Sequence[int] = CLIENTS,
) -> dict[str, Any]:
    """Requests a second, percentiles and resident MiB of each server with each number of clients."""
    prepare(workloads()[CLASSIFY], say)
    found: dict[str, Any] = {}
    for name in servers:
        try:
            with _server(name) as (port, process):
                found[name] = {str(clients): _loop(port, process.pid, clients, seconds) for clients in numbers}
        except Exception as error:
            found[name] = {"error": f"{type(error).__name__}: {error}"[:300]}
        say(name, found[name])
    return {"seconds": seconds, "workload": CLASSIFY, "servers": found}


def _server(name: str) -> AbstractContextManager[tuple[int, subprocess.Popen[bytes]]]:
    """A server's port and process, once it answers."""
    command = [sys.executable, "-m", __name__, name]
    if name == OURS:
        served = workloads()[CLASSIFY].served
        command = [sys.executable, "-m", "functions.local", served.name, "--output", str(served.parent), "--port"]
    return running(command, _answers)


def _answers(port: int) -> bool:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        for _ in range(WARM_REQUESTS):
            _ask(connection, "a first text")
    except (OSError, http.client.HTTPException):
        return False
    return True


def _ask(connection: http.client.HTTPConnection, text: str) -> None:
    body = json.dumps({"inputs": text, "options": {"use_cache": False}})
    connection.request("POST", "/", body, {"content-type": "application/json"})
    response = connection.getresponse()
    content = response.read()
    if response.status != 200:
        raise http.client.HTTPException(f"{response.status}: {content[:200]!r}")


def _loop(port: int, process: int, clients: int, seconds: float) -> dict[str, Any]:
    """Every client asks until the time is over; resident bytes are read meanwhile."""
    taken: list[float] = []
    failures: list[str] = []

    def ask(stream: Iterator[str]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        while monotonic() < end:
            started = perf_counter()
            try:
                _ask(connection, next(stream))
            except (OSError, http.client.HTTPException) as error:
                failures.append(str(error))
                connection.close()
            else:
                taken.append((perf_counter() - started) * 1e3)

    workload = workloads()[CLASSIFY]
    # Each client begins at another text.
    streams = [islice(texts(workload), number * 50, None) for number in range(clients)]
    threads = [Thread(target=ask, args=(stream,)) for stream in streams]
    end = monotonic() + seconds
    for thread in threads:
        thread.start()
    resident = []
    while monotonic() < end:
        resident.append(mib(RESIDENT, process))
        sleep(min(seconds / SAMPLES, max(0.0, end - monotonic())))
    for thread in threads:
        thread.join()
    cuts = statistics.quantiles(taken, n=100)
    return {
        "requests_per_second": round(len(taken) / seconds, 1),
        "p50_ms": round(cuts[49], 2),
        "p99_ms": round(cuts[98], 2),
        "failed": len(failures),
        "resident_mib": resident,
    }


def section(measured: dict[str, Any], title: str = "Load", servers: Sequence[str] = SERVERS) -> str:
    """For docs/benchmarks.md; loops against `servers` that were not run are named."""
    columns = ["requests/s", "p50 ms", "p99 ms", "failed", "MiB at first", "MiB at last"]
    lines = [
        f"## {title}",
        "",
        f"A closed loop over HTTP, {measured['seconds']:g} s each: clients that ask for a class of a short text, wait, "
        "and ask again. Server and clients share the cores; no answers are cached. The torch servers are the ledger's "
        "under uvicorn.",
        "",
        header("server, clients", columns),
    ]
    for name, loops in measured["servers"].items():
        if "error" in loops:
            lines.append(f"| {name} | could not run: {loops['error']} |" + " |" * (len(columns) - 1))
            continue
        for clients, got in loops.items():
            figures = f"{got['requests_per_second']:,.1f} | {got['p50_ms']:.2f} | {got['p99_ms']:.2f}"
            memory = f"{got['resident_mib'][0]:.0f} | {got['resident_mib'][-1]:.0f}"
            lines.append(f"| {name}, {clients} | {figures} | {got['failed']} | {memory} |")
    ran = {name: measured["servers"].get(name, {}) for name in servers}
    left = [f"{name}, {n}" for name in servers for n in CLIENTS if not {str(n), "error"} & ran[name].keys()]
    if left:
        lines += ["", f"Not measured: {'; '.join(left)}."]
    return "\n".join(lines)


def serve(name: str, port: int) -> None:
    """A torch deployment of the ledger under uvicorn, until it is ended."""
    import uvicorn

    choices = READING[name]
    assert isinstance(choices, Choices)
    uvicorn.run(application(workloads()[CLASSIFY], choices), host="127.0.0.1", port=port, log_level="error")


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
