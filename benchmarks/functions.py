"""What an invocation of the HTTPS function adds to bare prediction: in process, and by way of Lambda's own programs.

Contenders are predictor, handler, and handler behind AWS's runtime interface emulator and client, over
debian-sections. Every call takes the next held-out texts, and nothing is cached.
"""

from __future__ import annotations

import http.client
import importlib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from benchmarks.contest import hold_between, serve
from benchmarks.emulator import INVOCATIONS, Emulator, emulator_flags, fetch_emulator, free_ports
from benchmarks.example_artifacts import ROOT, SECTIONS, WORK, prepare_sections
from benchmarks.tables import contest

CASES = ("1", "10")
THREADS = 1
HANDLER = "functions.https.handler"
BARE, IN_PROCESS, EMULATED = (
    "bare prediction",
    "HTTPS handler, in process",
    "HTTPS handler, emulator and runtime client",
)
PORT = "BENCHMARK_EMULATOR_PORT"

Contender = tuple[Callable[[str], Any], dict[str, str]]


def run(say: Callable[..., None]) -> dict[str, Any]:
    """Start the emulator around the client and the handler, and hold the contest."""
    directory = prepare_sections(say)
    os.environ.update(
        {
            "ARTIFACT_DIR": str(directory),
            "HUNDREDFOLD_ENCODING_CACHE_BYTES": "0",
            "HUNDREDFOLD_RESPONSE_CACHE_BYTES": "0",
        }
    )
    port, api_port = free_ports(2)
    client = [sys.executable, "-m", "awslambdaric", f"{HANDLER}.handler"]
    command = [str(fetch_emulator(WORK)), *emulator_flags(port, api_port), *client]
    settings = {"HUNDREDFOLD_THREADS": str(THREADS), "OMP_NUM_THREADS": str(THREADS), "PYTHONPATH": str(ROOT)}
    with (
        tempfile.TemporaryDirectory() as folder,
        Emulator(command, port, Path(folder) / "log", environment={**os.environ, **settings}),
    ):
        os.environ[PORT] = str(port)
        return hold_between(CONTENDERS, "benchmarks.functions", CASES, THREADS, say)


def _texts() -> Iterator[str]:
    lines = (SECTIONS / "heldout.jsonl").read_text(encoding="utf-8").splitlines()
    return cycle([json.loads(line)["text"] for line in lines])


def _events() -> Callable[[str], dict[str, Any]]:
    """Makes a Function URL event of the next texts."""
    event, texts = json.loads((ROOT / "examples/events/classify.json").read_text(encoding="utf-8")), _texts()
    return lambda case: event | {"body": json.dumps({"inputs": list(islice(texts, int(case)))})}


def _bare() -> Contender:
    from layers.runtime.predictor import Predictor

    predictor = Predictor.load(Path(os.environ["ARTIFACT_DIR"]), threads=THREADS, encoding_cache_bytes=0)
    texts = _texts()
    return lambda case: predictor.predict(list(islice(texts, int(case)))), {}


def _in_process() -> Contender:
    handler, event_of = importlib.import_module(HANDLER).handler, _events()
    return lambda case: _answered(handler(event_of(case), None)), {}


def _emulated() -> Contender:
    connection, event_of = http.client.HTTPConnection("127.0.0.1", int(os.environ[PORT]), timeout=60), _events()

    def call(case: str) -> None:
        connection.request("POST", INVOCATIONS, json.dumps(event_of(case)))
        _answered(json.loads(connection.getresponse().read()))

    return call, {}


def _answered(answer: dict[str, Any]) -> None:
    if answer.get("statusCode") != 200:
        raise RuntimeError(answer)


def section(measured: dict[str, Any]) -> str:
    """The page's part on what an invocation adds."""
    medians = {
        standing["name"]: {case: result["median_ms"] for case, result in standing["results"].items()}
        for standing in measured["standings"]
    }
    lines = [
        "## What an HTTPS invocation adds",
        "",
        "Function URL events of held-out package descriptions, debian-sections. The emulator is AWS's runtime "
        "interface emulator, with AWS's runtime interface client, as processes of this machine: a stand-in for Lambda.",
        "",
        contest(measured, "texts"),
    ]
    for name in (IN_PROCESS, EMULATED):
        if medians.get(name) and medians.get(BARE):
            added = ", ".join(
                f"{medians[name][case] - medians[BARE][case]:.2f} ms with {case}" for case in measured["cases"]
            )
            lines += ["", f"{name}, beyond bare prediction (difference of medians): {added}."]
    return "\n".join(lines)


CONTENDERS: dict[str, Callable[[], Contender]] = {BARE: _bare, IN_PROCESS: _in_process, EMULATED: _emulated}


if __name__ == "__main__":
    serve(CONTENDERS, sys.argv[1], sys.argv[2:])
