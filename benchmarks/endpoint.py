"""The endpoint under load: a closed loop of clients over loopback, requests joined and each by itself.

Two servers run side by side, and take turns: one as an endpoint is set, one that joins nothing. Before they are timed
both answer the same texts, the one all at once and the other one by one, and the answers are compared.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from time import monotonic, perf_counter
from typing import Any

from benchmarks.endpoint_models import NEW_TOKENS, PROMPT_TOKENS, Served, examples
from benchmarks.example_artifacts import ARTIFACTS
from benchmarks.servers import running

SECONDS = 1.5
ROUNDS = 3
CLIENTS = (1, 4, 16, 64)
COMPARED = 64
# The same texts come again and again, which they would not.
UNCACHED = {
    "HUNDREDFOLD_ENCODING_CACHE_BYTES": "0",
    "HUNDREDFOLD_PREFIX_CACHE_BYTES": "0",
    "HUNDREDFOLD_RESPONSE_CACHE_BYTES": "0",
}
JOINED, ALONE = "joined", "each alone"
SERVERS: dict[str, dict[str, str]] = {
    JOINED: {},
    # Every text waits for as long as it takes, and is not refused.
    ALONE: {
        "HUNDREDFOLD_BATCH_WAIT_MS": "",
        "HUNDREDFOLD_GENERATION_ROWS": "0",
        "HUNDREDFOLD_GENERATION_WAIT_SECONDS": "600",
    },
}


def run(say: Callable[..., None]) -> dict[str, Any]:
    """The example models on the processor."""
    return measure(examples(ARTIFACTS, "x86_64", say), say)


def measure(models: Sequence[Served], say: Callable[..., None]) -> dict[str, Any]:
    """Start both servers, compare their answers, let them take turns in every case; requests/s and percentiles."""
    found: dict[str, Any] = {}
    for served in models:
        with ExitStack() as stack:
            ports = {name: stack.enter_context(serving(served.artifact, own))[0] for name, own in SERVERS.items()}
            alike = compare(ports, served)
            say(served.name, alike)
            cases = {}
            for clients in CLIENTS:
                results = cases[str(clients)] = case(ports, served, clients)
                say(served.name, clients, {name: each["requests_per_second"] for name, each in results.items()})
            found[served.name] = {"alike": alike, "clients": cases}
    return {"models": found}


def compare(ports: dict[str, int], served: Served) -> dict[str, Any]:
    """How many of the same answers come from texts that are sent at once, and from one after another to the other."""
    bodies = served.bodies()[:COMPARED]
    at_once = asyncio.run(answers(ports[JOINED], bodies, COMPARED))
    one_by_one = asyncio.run(answers(ports[ALONE], bodies, 1))
    pairs = list(zip(at_once, one_by_one, strict=True))
    if served.writes:
        return {"texts": len(pairs), "same": sum(first == second for first, second in pairs)}
    # The Hub answers a list for each text, and these are requests of one.
    scores = [[{each["label"]: each["score"] for each in answer[0]} for answer in pair] for pair in pairs]
    return {
        "texts": len(pairs),
        "same": sum(first[0][0]["label"] == second[0][0]["label"] for first, second in pairs),
        "largest_difference": max(
            (abs(first[label] - second[label]) for first, second in scores for label in first.keys() & second.keys()),
            default=0.0,
        ),
    }


async def answers(port: int, bodies: Sequence[bytes], clients: int) -> list[Any]:
    """What each body is answered with, so many on the way at once."""
    found: list[Any] = [None] * len(bodies)
    waiting = iter(enumerate(bodies))

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for index, body in waiting:
            found[index] = json.loads(await ask(reader, writer, body))
        writer.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    return found


def case(ports: dict[str, int], served: Served, clients: int) -> dict[str, dict[str, float]]:
    """Each server in turn, `ROUNDS` times; medians over the rounds, percentiles over all requests."""
    rates: dict[str, list[float]] = {name: [] for name in ports}
    times: dict[str, list[float]] = {name: [] for name in ports}
    for _ in range(ROUNDS):
        for name, port in ports.items():
            began = perf_counter()
            took = asyncio.run(load(port, served.endless_bodies(), clients))
            rates[name].append(len(took) / (perf_counter() - began))
            times[name] += took
    return {name: summary(rates[name], times[name]) for name in ports}


def summary(rates: list[float], seconds: list[float]) -> dict[str, float]:
    """Requests a second, and milliseconds by share of the requests."""
    ranked = sorted(seconds)
    return {
        "requests_per_second": round(statistics.median(rates), 1),
        "lowest_rate": round(min(rates), 1),
        "highest_rate": round(max(rates), 1),
        "p50_ms": round(1000 * ranked[len(ranked) // 2], 2),
        "p99_ms": round(1000 * ranked[min(len(ranked) - 1, len(ranked) * 99 // 100)], 2),
        "requests": len(ranked),
    }


async def load(port: int, texts: Iterator[bytes], clients: int) -> list[float]:
    """Seconds of every request that so many clients have answered, each sending its next when it has its last."""
    until = monotonic() + SECONDS
    took: list[float] = []

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while monotonic() < until:
            began = perf_counter()
            await ask(reader, writer, next(texts))
            took.append(perf_counter() - began)
        writer.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    return took


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: bytes) -> bytes:
    """The answer to one request on a connection that stays open. Raises RuntimeError for anything but 200."""
    writer.write(b"POST /invocations HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    answer = await reader.readexactly(int(head.split("content-length:")[1].split("\r\n")[0]))
    if " 200 " not in head.split("\r\n")[0]:
        raise RuntimeError(f"{head.splitlines()[0]}: {answer[:200]!r}")
    return answer


def serving(directory: Path, environment: dict[str, str]) -> AbstractContextManager[tuple[int, Any]]:
    """An endpoint's server with nothing kept between requests; its port and its process."""
    command = [sys.executable, "-m", "functions.gpu", "serve", "--host", "127.0.0.1", "--port"]
    return running(command, _is_ready, {"ARTIFACT_DIR": str(directory), **UNCACHED, **environment})


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=2):
            return True
    except OSError:  # nobody listens yet, or 503
        return False


def section(measured: dict[str, Any]) -> str:
    """Of docs/benchmarks.md."""
    lines = [
        f"## The endpoint under load, on {measured.get('card', 'a processor')}",
        "",
        "`python -m functions.gpu serve` with so many clients over loopback, each sending its next request when it has "
        f"its answer, on the machine that the clients run on too. `{JOINED}` is as an endpoint is set; `{ALONE}` joins "
        f"neither texts nor runs. debian-sections and bert-base-random classify a package description; debian-writer "
        f"and gpt2 write {NEW_TOKENS} tokens after the last {PROMPT_TOKENS} of one, t5-small {NEW_TOKENS} about it. "
        "bert-base-random, gpt2 and t5-small have random weights at real sizes.",
        "",
        f"| model | clients | {JOINED}: requests/s | p50 ms | p99 ms | {ALONE}: requests/s | p50 ms | p99 ms | times |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for model, found in measured["models"].items():
        for clients, results in found["clients"].items():
            cells = [
                f"{own['requests_per_second']} [{own['lowest_rate']} to {own['highest_rate']}] | {own['p50_ms']} | "
                f"{own['p99_ms']}"
                for own in (results[JOINED], results[ALONE])
            ]
            times = results[JOINED]["requests_per_second"] / results[ALONE]["requests_per_second"]
            lines.append(f"| {model} | {clients} | {' | '.join(cells)} | {times:.2f} |")
    lines += [
        "",
        f"The same texts, all at once and joined, and one by one from the other server ({COMPARED} of each):",
        "",
    ]
    for model, found in measured["models"].items():
        alike = found["alike"]
        furthest = alike.get("largest_difference")
        scores = "" if furthest is None else f"; scores differ by at most {furthest:.1e}"
        lines.append(f"- {model}: {alike['same']} of {alike['texts']} answers are the same{scores}.")
    return "\n".join(lines)
