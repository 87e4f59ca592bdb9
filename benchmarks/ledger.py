"""The 100x, lever by lever: from an out-of-the-box deployment to this one, a Function URL's event in, its response out.

Every rung is a deployment in a process of its own behind the same adapter; each keeps what the one before it won. Texts
differ from call to call except on the rungs that are about repeated ones, which say so.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import repeat
from typing import Any

from benchmarks.contest import hold_between, serve
from benchmarks.ledger_workloads import Workload, event, prepare, texts, workloads
from benchmarks.naive import Choices, application

THREADS = 2
# Of workloads that read, and of those that write, whose calls take seconds.
READING_ROUNDS, WRITING_ROUNDS = 6, 3
NAIVE, TUNED, ONE_THREAD = "out of the box", "torch, tuned", "quantized, on one thread"
RELOADED = "out of the box, Rust tokenizer reloaded"
COMPILED, FUSED, QUANTIZED = "compiled graph, fp32, not fused", "fused graph, fp32", "quantized"
ENCODINGS, PREFIXES, ANSWERS = "same text again: encoding kept", "same text again: prefix kept", "same request: kept"
Loaded = tuple[Callable[[str], Any], dict[str, Any]]


@dataclass(frozen=True)
class Ours:
    """This project's application over an artifact: which, on how many threads, and which caches are on."""

    fp32: bool = False
    threads: int = THREADS
    again: bool = False
    encodings: bool = False
    prefixes: bool = False
    answers: bool = False


Deployment = Choices | Ours
_KEPT = Choices(python_tokenizer=False, reload_tokenizer=False, pad_to_longest=False, kv_cache=True)
# Not rungs of the chain: what the chain is compared with besides, and what the second thread is worth.
BESIDE: dict[str, Deployment] = {
    ONE_THREAD: Ours(threads=1),
    TUNED: replace(_KEPT, dtype="bfloat16", threads=THREADS),
}
READING: dict[str, Deployment] = {
    NAIVE: Choices(),
    "tokenizer kept": Choices(reload_tokenizer=False),
    "Rust tokenizer": replace(_KEPT, pad_to_longest=True),
    "no padding": _KEPT,
    COMPILED: replace(_KEPT, traced=True),
    FUSED: Ours(fp32=True),
    QUANTIZED: Ours(),
    ENCODINGS: Ours(again=True, encodings=True),
    ANSWERS: Ours(again=True, encodings=True, answers=True),
    RELOADED: Choices(python_tokenizer=False),
    **BESIDE,
}
WRITING: dict[str, Deployment] = {
    NAIVE: Choices(),
    "keys and values kept": replace(_KEPT, reload_tokenizer=True),
    "tokenizer kept": _KEPT,
    FUSED: Ours(fp32=True),
    QUANTIZED: Ours(),
    ENCODINGS: Ours(again=True, encodings=True),
    PREFIXES: Ours(again=True, encodings=True, prefixes=True),
    ANSWERS: Ours(again=True, encodings=True, prefixes=True, answers=True),
    **BESIDE,
}


def rungs(workload: Workload) -> dict[str, Deployment]:
    """Those that apply to the workload, in order."""
    return READING if workload.new_tokens is None else WRITING


def deploy(workload: Workload, deployment: Deployment) -> Callable[[], dict[str, Any]]:
    """Load a deployment; a function that sends it the next event and gives its response.

    Raises RuntimeError when a response is not a 200.
    """
    from mangum import Mangum

    stream = texts(workload)
    kept = False
    if isinstance(deployment, Choices):
        app = application(workload, deployment)
    else:
        app, kept = _ours(workload, deployment), deployment.answers
        stream = repeat(next(stream)) if deployment.again else stream
    handler = Mangum(app, lifespan="off")

    def call() -> dict[str, Any]:
        response: dict[str, Any] = handler(event(workload, next(stream), use_cache=kept), None)
        if response["statusCode"] != 200:
            raise RuntimeError(response["body"][:300])
        return response

    return call


def _ours(workload: Workload, ours: Ours) -> Any:
    from layers.runtime.predictor import load_predictors
    from layers.runtime.settings import read_settings
    from layers.serving.application import create_app

    caches = {"ENCODING_CACHE_BYTES": ours.encodings, "PREFIX_CACHE_BYTES": ours.prefixes}
    for name, kept in caches.items():
        os.environ.pop(f"HUNDREDFOLD_{name}", None)
        os.environ.update({} if kept else {f"HUNDREDFOLD_{name}": "0"})
    os.environ["ARTIFACT_DIR"] = str(workload.fp32 if ours.fp32 else workload.served)
    os.environ["HUNDREDFOLD_THREADS"] = str(ours.threads)
    # What random weights write repeats itself as no text does: a guess would gain what it never gains.
    os.environ["HUNDREDFOLD_LOOKUP_TOKENS"] = "0"
    settings = read_settings()
    return create_app(load_predictors(settings.artifact_dir, **settings.load_options()), settings)


def run(say: Callable[..., None]) -> dict[str, Any]:
    """Each workload's contest."""
    return {"threads": THREADS, "workloads": {name: run_one(name, say) for name in workloads()}}


def run_one(name: str, say: Callable[..., None], rounds: int | None = None) -> dict[str, Any]:
    """Prepare a workload, hold its contest, give the standings of its rungs."""
    workload = workloads()[name]
    prepare(workload, say)
    usual = READING_ROUNDS if workload.new_tokens is None else WRITING_ROUNDS
    return hold_between(rungs(workload), __name__, [name], THREADS, say, rounds or usual, [name])


def _contender(rung: str, name: str) -> Loaded:
    """The worker's side: a rung of a workload."""
    workload = workloads()[name]
    call = deploy(workload, rungs(workload)[rung])
    return lambda _case: call(), {}


CONTENDERS: dict[str, Callable[[str], Loaded]] = {name: partial(_contender, name) for name in {**READING, **WRITING}}


if __name__ == "__main__":
    serve(CONTENDERS, sys.argv[1], sys.argv[2:])
