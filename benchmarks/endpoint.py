"""The endpoint under load: a closed loop of clients over loopback, requests joined and each by itself.

Two servers run side by side, and take turns: one as an endpoint is set, one that joins nothing. The models are the
example models of the repository; on a machine with a card and artifacts built for it they are served there.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import statistics
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from time import monotonic, perf_counter
from typing import Any

from benchmarks.example_artifacts import ROOT, SECTIONS
from benchmarks.servers import running
from layers.artifact import MANIFEST
from layers.catalogue import read_catalogue
from layers.compiler.build import build

ARTIFACTS = ROOT / "build"
EXAMPLES = ("debian-sections", "debian-writer")
SECONDS = 1.5
ROUNDS = 3
CLIENTS = (1, 4, 16, 64)
NEW_TOKENS = 32
PROMPT_TOKENS = 64
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
    """Start both servers, let them take turns in every case, give requests/s and percentiles."""
    models = {name: artifact(name, say) for name in EXAMPLES}
    measured: dict[str, Any] = {}
    with ExitStack() as stack:
        for model, directory in models.items():
            urls = {name: stack.enter_context(serving(directory, own))[0] for name, own in SERVERS.items()}
            measured[model] = {str(clients): case(urls, model, clients) for clients in CLIENTS}
            for clients, results in measured[model].items():
                say(model, clients, {name: result["requests_per_second"] for name, result in results.items()})
    return measured


def artifact(name: str, say: Callable[..., None]) -> Path:
    """The example's artifact, built for the processor where none is there."""
    if not (ARTIFACTS / name / MANIFEST).is_file():
        build(read_catalogue(ROOT / "models.toml")[name], ROOT, ARTIFACTS, "x86_64", say)
    return ARTIFACTS / name


def case(urls: dict[str, int], model: str, clients: int) -> dict[str, dict[str, float]]:
    """Each server in turn, `ROUNDS` times; medians over the rounds, percentiles over all requests."""
    rates: dict[str, list[float]] = {name: [] for name in urls}
    times: dict[str, list[float]] = {name: [] for name in urls}
    for _ in range(ROUNDS):
        for name, port in urls.items():
            began = perf_counter()
            took = asyncio.run(load(port, bodies(model), clients))
            rates[name].append(len(took) / (perf_counter() - began))
            times[name] += took
    return {name: summary(rates[name], times[name]) for name in urls}


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


def bodies(model: str) -> Iterator[bytes]:
    """Held-out texts, of the lengths that they have, over and over."""
    lines = (SECTIONS / "heldout.jsonl").read_text(encoding="utf-8").splitlines()[:500]
    written = {"max_new_tokens": NEW_TOKENS, "min_new_tokens": NEW_TOKENS, "truncate": PROMPT_TOKENS}
    parameters = {} if model == "debian-sections" else written
    texts = [json.loads(line)["text"] for line in lines]
    return itertools.cycle(json.dumps({"inputs": text, "parameters": parameters}).encode("ascii") for text in texts)


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


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: bytes) -> None:
    """One request on a connection that stays open. Raises RuntimeError for anything but 200."""
    writer.write(b"POST /invocations HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    answer = await reader.readexactly(int(head.split("content-length:")[1].split("\r\n")[0]))
    if " 200 " not in head.split("\r\n")[0]:
        raise RuntimeError(f"{head.splitlines()[0]}: {answer[:200]!r}")


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
        "## The endpoint under load",
        "",
        "`python -m functions.gpu serve` with so many clients over loopback, each sending its next request when it has "
        f"its answer, on the machine that the clients run on too. `{JOINED}` is as an endpoint is set; `{ALONE}` joins "
        f"neither texts nor runs. debian-sections classifies a package description; debian-writer writes {NEW_TOKENS} "
        f"tokens after the last {PROMPT_TOKENS} of one.",
        "",
        f"| model | clients | {JOINED}: requests/s | p50 ms | p99 ms | {ALONE}: requests/s | p50 ms | p99 ms |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for model, cases in measured.items():
        for clients, results in cases.items():
            cells = [
                f"{own['requests_per_second']} [{own['lowest_rate']} to {own['highest_rate']}] | {own['p50_ms']} | "
                f"{own['p99_ms']}"
                for own in (results[JOINED], results[ALONE])
            ]
            lines.append(f"| {model} | {clients} | {' | '.join(cells)} |")
    return "\n".join(lines)
