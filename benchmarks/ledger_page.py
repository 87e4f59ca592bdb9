"""The ledger's part of docs/benchmarks.md: a table and a waterfall a workload, and where 100x is reached."""

from __future__ import annotations

from collections.abc import Mapping
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
  It reads its vocabulary faster than the Rust one reads tokenizer.json: reloading that for every request, which is what
  release 5 does out of the box, is shown beside the chain.
- Nothing is padded where one prompt is written after: no such lever there.
- The graph that is not fused is torch.onnx's trace behind the same naive application. The next rung is this project's
  graph and its application. torch.onnx cannot trace generation with kept keys and values of transformers 5: compiled
  and fused are one lever where a model writes.
- Threads: torch takes both cores by itself, so every rung has two threads, and the lever wins nothing here. What one
  thread would take is shown beside the chain.
- The last rungs answer what was asked before, and help only there. GPT-2 and T5 have random weights at real sizes.
"""
# What a figure alone does not say: why the factor is what it is.
WHY = {
    "classify short texts": "The model is small and the texts short: padding wastes most; bfloat16 wins nothing.",
    "embed paragraphs": "Of 512 padded tokens 128 are real; the rest is the model's arithmetic, which int8 halves.",
    "write 64 tokens after 512": "The cache of keys and values is most of it; then weights read once a token, in int8.",
    "summarize 384 tokens in 64": "Without a cache only the decoder is repeated, over at most 64 tokens.",
}


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
    return "\n".join([*lines, "", *_verdict(name, medians), ""])


def _ratio(other: float | None, now: float) -> str:
    return f"{other / now:,.{2 if other / now < 10 else 0}f}" if other else ""


def _verdict(name: str, medians: Mapping[str, float]) -> list[str]:
    """Whether 100x is reached, on new requests and on repeated ones, and why."""
    naive, fresh = medians.get(NAIVE), medians.get(QUANTIZED)
    if naive is None or fresh is None:
        return ["No verdict: a rung that it needs could not run."]
    times = naive / fresh
    reached = "100x is reached" if times >= PROMISE else "100x is not reached"
    said = f"{reached} on requests that are new: {times:,.0f}x"
    if TUNED in medians:
        said += f", and {medians[TUNED] / fresh:.1f}x over tuned torch"
    again = {rung: naive / medians[rung] for rung in REPEATED if rung in medians}
    if again:
        best = max(again, key=again.__getitem__)
        word = "reached" if again[best] >= PROMISE else "not reached"
        said += f". On a request that was asked before it is {word}: {again[best]:,.0f}x"
    return [f"**{said}.** {WHY.get(name, '')}".rstrip()]
