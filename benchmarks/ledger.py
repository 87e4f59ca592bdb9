"""The 100x, lever by lever: from an out-of-the-box deployment to this one, a Function URL's event in, its response out.

Every rung is a deployment in a process of its own behind the same adapter; each rung keeps what the one before it won.
Texts differ from call to call except on the rungs that are about repeated ones, which say so.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from itertools import repeat
from typing import Any

from benchmarks.contest import hold_between, serve
from benchmarks.ledger_workloads import Workload, directory, event, prepare, texts, workloads
from benchmarks.naive import Choices, application
from benchmarks.tables import cell

THREADS = 2
ROUNDS = 5
NAIVE = "out of the box"
TUNED = "torch, tuned: bf16"
KEPT = Choices(reload_tokenizer=False)
UNPADDED = Choices(reload_tokenizer=False, pad_to_longest=False, kv_cache=True)
Loaded = tuple[Callable[[str], Any], dict[str, Any]]
# Rungs of deployments on torch, then of this project: (fp32, the same text again, its whole answer kept).
TORCH = {
    NAIVE: Choices(),
    "tokenizer kept": KEPT,
    "no padding; cache of keys and values": UNPADDED,
    TUNED: Choices(reload_tokenizer=False, pad_to_longest=False, kv_cache=True, dtype="bfloat16"),
}
OURS = {
    "compiled and fused, fp32": (True, False, False),
    "quantized": (False, False, False),
    "the same text again: encodings and prefixes kept": (False, True, False),
    "the same request again: its answer kept": (False, True, True),
}


def torch_rung(choices: Choices) -> Loaded:
    """transformers behind FastAPI and Mangum; a workload's model is loaded when it is first asked."""
    from mangum import Mangum

    handlers: dict[str, tuple[Any, Iterator[str]]] = {}

    def call(case: str) -> Any:
        workload = workloads()[case]
        if case not in handlers:
            handlers[case] = Mangum(application(workload, choices), lifespan="off"), texts(workload)
        handler, stream = handlers[case]
        return _checked(handler(event(workload, next(stream), use_cache=False), None))

    return call, {}


def our_rung(fp32: bool, again: bool, kept: bool) -> Loaded:
    """The HTTPS handler's application over the artifact; caches are off on rungs that are not about them."""
    from mangum import Mangum

    handlers: dict[str, tuple[Any, Iterator[str]]] = {}

    def load(workload: Workload) -> tuple[Any, Iterator[str]]:
        from layers.runtime.predictor import load_predictors
        from layers.runtime.settings import read_settings
        from layers.serving.application import create_app

        caches = {} if again else {"ENCODING_CACHE_BYTES": "0", "PREFIX_CACHE_BYTES": "0"}
        variables = {f"HUNDREDFOLD_{name}": value for name, value in caches.items()}
        os.environ.update(
            ARTIFACT_DIR=str(directory(workload, fp32=fp32)), HUNDREDFOLD_THREADS=str(THREADS), **variables
        )
        settings = read_settings()
        predictors = load_predictors(settings.artifact_dir, **settings.load_options())
        stream = texts(workload)
        return Mangum(create_app(predictors, settings), lifespan="off"), repeat(next(stream)) if again else stream

    def call(case: str) -> Any:
        workload = workloads()[case]
        if case not in handlers:
            handlers.clear()  # one session at a time: idle threads of another would take its turns
            handlers[case] = load(workload)
        handler, stream = handlers[case]
        return _checked(handler(event(workload, next(stream), use_cache=kept), None))

    return call, {}


def _checked(response: dict[str, Any]) -> dict[str, Any]:
    if response["statusCode"] != 200:
        raise RuntimeError(response["body"][:300])
    return response


CONTENDERS: dict[str, Callable[[], Loaded]] = {
    **{name: lambda choices=choices: torch_rung(choices) for name, choices in TORCH.items()},  # type: ignore[misc]
    **{name: lambda options=options: our_rung(*options) for name, options in OURS.items()},  # type: ignore[misc]
}


def run(say: Callable[..., None]) -> dict[str, Any]:
    """Prepare, hold the contest, give its standings."""
    prepare(say)
    return hold_between(CONTENDERS, __name__, list(workloads()), THREADS, say, ROUNDS)


def section(measured: dict[str, Any]) -> str:
    """For docs/benchmarks.md: a table for each workload, every rung against the naive and the tuned deployment."""
    lines = [
        "## The ledger: out of the box to here, lever by lever",
        "",
        "One request at a time, event in to response out. `times` compares with the out-of-the-box deployment, "
        "`tuned` with the tuned one on torch. The last two rungs answer what was asked before, and help only there.",
    ]
    by_name = {standing["name"]: standing for standing in measured["standings"]}
    for case in measured["cases"]:
        lines += ["", f"### {case[0].upper()}{case[1:]}", "", "| | ms | times | tuned |", "|---|---|---|---|"]
        naive, tuned = (by_name[name]["results"].get(case) for name in (NAIVE, TUNED))
        for name, standing in by_name.items():
            result = standing["results"].get(case)
            if result is None:
                lines.append(f"| {name} | could not run: {standing['error']} | | |")
                continue
            ratios = [f"{each['median_ms'] / result['median_ms']:.1f}" if each else "" for each in (naive, tuned)]
            lines.append(f"| {name} | {cell(result)} | {' | '.join(ratios)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    serve(CONTENDERS, sys.argv[1], sys.argv[2:])
