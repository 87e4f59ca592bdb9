"""The ledger's part of docs/benchmarks.md: a table and a waterfall a workload, and where 100x is reached."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.ledger import ANSWERS, BESIDE, ENCODINGS, NAIVE, PREFIXES, QUANTIZED, RELOADED, TUNED
from benchmarks.tables import cell
from benchmarks.waterfall import waterfall

CHARTS = Path(__file__).resolve().parent.parent / "docs"
PROMISE = 100.0
ASIDE = {*BESIDE, RELOADED}
REPEATED = (ENCODINGS, PREFIXES, ANSWERS)
HEAD = """## The ledger: out of the box to here, lever by lever

One request at a time, a Function URL's event in, its response out; every rung keeps what the rung before it won.
`times` compares with the out-of-the-box deployment, `tuned` with torch tuned: threads pinned, SDPA, bfloat16, keys and
values kept, Rust tokenizer kept, inference mode, the same FastAPI. `lever` compares with the rung before.

- Out of the box is a FastAPI application around transformers: `pipeline` for classification and for writing; for
  embeddings and summaries, where release 5 has no pipeline that does it, the model as model cards call it. float32; the
  tokenizer loaded in the function that answers; texts padded to the model's maximum where a model reads; no keys and
  values kept (`use_cache=False`) where one writes. Each is a switch in `benchmarks/naive.py`.
- The Python tokenizer is release 5's legacy one of BERT. GPT-2 and T5 have none any more: the lever is not in theirs.
  Reloading the Rust one for every request, which is what release 5 does out of the box, takes about as long; it is
  shown beside the chain.
- Nothing is padded where one prompt is written after: no such lever there.
- The graph that is not fused is torch.onnx's trace behind the same naive application. The next rung is this project's
  graph and its application. torch.onnx cannot trace generation with kept keys and values of transformers 5: compiled
  and fused are one lever where a model writes.
- Threads: torch takes both cores by itself, so every rung has two threads, and the lever wins nothing here. What one
  thread would take is shown beside the chain.
- The last rungs answer what was asked before, and help only there. GPT-2 and T5 have random weights at real sizes.
"""


def section(measured: dict[str, Any]) -> str:
    """For docs/benchmarks.md."""
    parts = [HEAD]
    for name, contest in measured["workloads"].items():
        parts.append(_workload(name, contest))
    return "\n".join(parts)


def charts(measured: dict[str, Any]) -> dict[str, str]:
    """SVG by file name."""
    drawn = {}
    for name, contest in measured["workloads"].items():
        medians = medians_of(contest, name)
        if NAIVE in medians:
            chain = [(rung, ms) for rung, ms in medians.items() if rung not in ASIDE]
            beside = [(rung, ms) for rung, ms in medians.items() if rung in ASIDE]
            drawn[chart(name)] = waterfall(name[0].upper() + name[1:], chain, beside)
    return drawn


def chart(workload: str) -> str:
    """The file of a workload's waterfall, in docs."""
    return f"ledger-{workload.split()[0]}.svg"


def medians_of(contest: Mapping[str, Any], case: str) -> dict[str, float]:
    """Milliseconds by rung, of those that ran."""
    return {s["name"]: s["results"][case]["median_ms"] for s in contest["standings"] if case in s["results"]}


def _workload(name: str, contest: Mapping[str, Any]) -> str:
    medians = medians_of(contest, name)
    title = name[0].upper() + name[1:]
    lines = [f"### {title}", ""]
    if NAIVE in medians:
        lines += [f"![Waterfall: {name}]({chart(name)})", ""]
    lines += ["| | ms | calls | lever | times | tuned |", "|---|---|---|---|---|---|"]
    before = medians.get(NAIVE)
    for standing in contest["standings"]:
        rung, result = standing["name"], standing["results"].get(name)
        if result is None:
            lines.append(f"| {rung} | could not run: {standing['error']} | | | | |")
            continue
        now = result["median_ms"]
        lever = "" if rung in ASIDE else _ratio(before, now)
        against = f"{_ratio(medians.get(NAIVE), now)} | {_ratio(medians.get(TUNED), now)}"
        lines.append(f"| {rung} | {cell(result)} | {result['calls']} | {lever} | {against} |")
        before = before if rung in ASIDE else now
    return "\n".join([*lines, "", *_verdict(medians), ""])


def _ratio(other: float | None, now: float) -> str:
    return times_as_fast(other / now) if other else ""


def times_as_fast(ratio: float) -> str:
    """A ratio in as many digits as tell 99.6 from 100."""
    digits = 2 if ratio < 10 else 1 if ratio < 1000 else 0
    return f"{ratio:,.{digits}f}"


def _verdict(medians: Mapping[str, float]) -> list[str]:
    """Whether 100x is reached, on new requests and on repeated ones, and why."""
    naive, fresh = medians.get(NAIVE), medians.get(QUANTIZED)
    if naive is None or fresh is None:
        return ["No verdict: a rung that it needs could not run."]
    times = naive / fresh
    reached = "100x is reached" if times >= PROMISE else "100x is not reached"
    said = f"{reached} on requests that are new: {times_as_fast(times)}x"
    if TUNED in medians:
        said += f", and {medians[TUNED] / fresh:.1f}x over tuned torch"
    again = {rung: naive / medians[rung] for rung in REPEATED if rung in medians}
    if again:
        best = max(again, key=again.__getitem__)
        word = "reached" if again[best] >= PROMISE else "not reached"
        said += f". On a request that was asked before it is {word}: {times_as_fast(again[best])}x"
    lines = [f"**{said}.**"]
    if ANSWERS in medians:
        lines.append(_budget(naive, fresh, medians[ANSWERS]))
    lines.append(_levers(medians))
    return [" ".join(lines)]


def _budget(naive: float, fresh: float, answered: float) -> str:
    """What of a new request is the model's, and what 100x would leave for it."""
    left, read = naive / PROMISE, fresh - answered
    said = (
        f"Of the {fresh:.2f} ms of a new request {answered:.2f} go whatever is asked (a kept answer's), and {read:.2f} "
        f"are the tokenizer's and the model's. 100x would leave {left:.2f} ms for all"
    )
    if fresh <= left:
        return f"{said}."
    if answered >= left:
        return f"{said}: no model would be fast enough."
    return f"{said}: tokenizer and model would have to be {times_as_fast(read / (left - answered))} times as fast."


def _levers(medians: Mapping[str, float]) -> str:
    """The two rungs that won most on new requests."""
    chain = [rung for rung in medians if rung not in ASIDE and rung not in REPEATED]
    won = {rung: medians[before] / medians[rung] for before, rung in pairwise(chain)}
    most = sorted(won, key=won.__getitem__, reverse=True)[:2]
    return "Most was won by " + " and ".join(f"{rung} ({won[rung]:.2f}x)" for rung in most) + "."
