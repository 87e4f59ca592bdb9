"""The queue and bucket functions against bare prediction: what an invocation adds, what a batch gains, what stays.

Contenders are the real handlers over debian-sections. Results go to a folder, so no network is in the figures. Every
call takes the next held-out texts, and no encoding is cached.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from itertools import count, cycle, islice
from pathlib import Path
from typing import Any

from benchmarks.contest import hold_between, serve
from benchmarks.example_artifacts import ROOT, SECTIONS, prepare_sections
from benchmarks.process_memory import RESIDENT, mib
from benchmarks.tables import contest, header

CASES = ("1", "10", "100")
INVOCATIONS = 5000
MEASURED_EVERY = 1000
RECORDS_AN_INVOCATION = 4
THREADS = 1
ONE_BY_ONE = "bare prediction, one text a call"
QUEUE, BUCKET, QUEUE_ONE_BY_ONE = "queue function", "bucket function", "queue function, one record an event"

Contender = tuple[Callable[[str], Any], dict[str, str]]


def run(say: Callable[..., None]) -> dict[str, Any]:
    """The contest, then each handler's memory in a process of its own."""
    directory = prepare_sections(say)
    os.environ.update(_environment(directory))
    held = hold_between(CONTENDERS, "benchmarks.batches", CASES, THREADS, say, rounds=8)
    memory = {}
    for trigger in ("https", "queue", "bucket"):
        command = [sys.executable, "-m", "benchmarks.batches", "memory", trigger]
        done = subprocess.run(
            command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT
        )
        memory[trigger] = json.loads(done.stdout.splitlines()[-1])
        say(trigger, memory[trigger])
    return {**held, "resident_mib": memory, "records_an_invocation": RECORDS_AN_INVOCATION}


def _environment(directory: Path) -> dict[str, str]:
    return {
        "ARTIFACT_DIR": str(directory),
        "HUNDREDFOLD_ENCODING_CACHE_BYTES": "0",
        "HUNDREDFOLD_RESPONSE_CACHE_BYTES": "0",
    }


def _texts() -> Iterator[str]:
    lines = (SECTIONS / "heldout.jsonl").read_text(encoding="utf-8").splitlines()
    return cycle([json.loads(line)["text"] for line in lines])


def _bare() -> Contender:
    from layers.runtime.predictor import Predictor

    predictor = Predictor.load(Path(os.environ["ARTIFACT_DIR"]), threads=THREADS, encoding_cache_bytes=0)
    texts = _texts()
    return lambda case: [predictor.predict(text) for text in islice(texts, int(case))], {}


def _queue(*, together: bool) -> Contender:
    event_of = _queue_events()
    handler = _handler("queue")

    def call(case: str) -> None:
        groups = [int(case)] if together else [1] * int(case)
        for size in groups:
            answer = handler(event_of(size), None)
            if answer["batchItemFailures"]:
                raise RuntimeError(answer)

    return call, {}


def _bucket() -> Contender:
    handler, put = _handler("bucket"), _objects()
    return lambda case: _complete(handler(put(int(case)), None)), {}


def _complete(answer: dict[str, Any]) -> None:
    if answer["objects"][0]["status"] != "complete":
        raise RuntimeError(answer)


def _handler(trigger: str) -> Any:
    """The handler, whose results go to a folder that is gone with the process."""
    folder = tempfile.mkdtemp(prefix="hundredfold-bench-")
    os.environ.update({"HUNDREDFOLD_RESULTS_DIR": folder, "HUNDREDFOLD_OBJECTS_DIR": folder})
    return importlib.import_module(f"functions.{trigger}.handler").handler


def _queue_events() -> Callable[[int], dict[str, Any]]:
    """Makes an event of the next texts; ids repeat, so that results overwrite each other."""
    [record, *_] = json.loads((ROOT / "examples/events/queue.json").read_text(encoding="utf-8"))["Records"]
    texts = _texts()

    def make(size: int) -> dict[str, Any]:
        bodies = (json.dumps({"inputs": text}) for text in islice(texts, size))
        return {"Records": [record | {"messageId": f"m{n}", "body": body} for n, body in enumerate(bodies)]}

    return make


def _objects() -> Callable[[int], dict[str, Any]]:
    """Writes an object of the next texts, a line each, and makes its event."""
    event = json.loads((ROOT / "examples/events/bucket.json").read_text(encoding="utf-8"))
    described = event["Records"][0]["s3"]
    folder = Path(os.environ["HUNDREDFOLD_OBJECTS_DIR"]) / described["bucket"]["name"]
    folder.mkdir(parents=True)
    texts, numbers = _texts(), count()

    def put(size: int) -> dict[str, Any]:
        number = next(numbers)
        (folder / "texts.jsonl").write_text("".join(json.dumps(text) + "\n" for text in islice(texts, size)))
        described["object"] = {"key": "texts.jsonl", "sequencer": f"{number:016X}"}
        return dict(event)

    return put


def _https_events() -> Callable[[int], dict[str, Any]]:
    """Events with so many texts each."""
    event, texts = json.loads((ROOT / "examples/events/classify.json").read_text(encoding="utf-8")), _texts()
    return lambda count: event | {"body": json.dumps({"inputs": list(islice(texts, count))})}


EVENTS = {"https": _https_events, "queue": _queue_events, "bucket": _objects}


def memory(trigger: str) -> list[float]:
    """Resident MiB of a handler's process at its start and after every so many invocations."""
    handler, event_of = _handler(trigger), EVENTS[trigger]()
    resident = []
    for number in range(INVOCATIONS + 1):
        handler(event_of(RECORDS_AN_INVOCATION), None)
        if number % MEASURED_EVERY == 0:
            resident.append(mib(RESIDENT))
    return resident


def section(measured: dict[str, Any]) -> str:
    """The page's part on batches."""
    alone = {standing["name"]: standing["results"]["1"]["median_ms"] for standing in measured["standings"]}
    bare = next(iter(alone.values()))
    lines = [
        "## Batches of the queue and bucket functions",
        "",
        "Records an event (or lines an object) of held-out package descriptions, debian-sections, through the real "
        "handlers; results go to a folder.",
        "",
        contest(measured, "records"),
        "",
        f"With one record the queue function takes {alone['queue function'] - bare:.2f} ms more than bare prediction, "
        f"the bucket function {alone['bucket function'] - bare:.2f} ms more. Records a second, from those medians:",
        "",
        header("records", measured["cases"]),
    ]
    for standing in measured["standings"]:
        rates = [1e3 * int(case) / standing["results"][case]["median_ms"] for case in measured["cases"]]
        lines.append(f"| {standing['name']} | " + " | ".join(f"{rate:,.0f}" for rate in rates) + " |")
    lines += [
        "",
        f"Resident MiB of a handler's process after 1, 1,001 ... 5,001 invocations of "
        f"{measured['records_an_invocation']} texts:",
        "",
    ]
    for trigger, resident in measured["resident_mib"].items():
        lines.append(f"- {trigger}: " + ", ".join(f"{mib:.0f}" for mib in resident))
    return "\n".join(lines)


CONTENDERS: dict[str, Callable[[], Contender]] = {
    ONE_BY_ONE: _bare,
    QUEUE: lambda: _queue(together=True),
    QUEUE_ONE_BY_ONE: lambda: _queue(together=False),
    BUCKET: _bucket,
}


if __name__ == "__main__":
    if sys.argv[1] == "memory":
        print(json.dumps(memory(sys.argv[2])))
    else:
        serve(CONTENDERS, sys.argv[1], sys.argv[2:])
