"""docs/benchmarks.md, rendered from the JSON results: every figure with its spread, and as a ratio."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import (
    artifacts,
    batches,
    builds,
    cost,
    endpoint,
    functions,
    ledger_page,
    load,
    load_full,
    lookup,
    prefixes,
    profiles,
    run_sizes,
)
from benchmarks import memory as resident
from benchmarks.gpu_page import gpu_section
from benchmarks.parts import HEADLINE
from benchmarks.tables import cell, contest, header

PAGE = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"
HEAD = """# Benchmarks

Written by `make bench` (artifacts, the ledger, peers, cold start and load) and `make bench-full` (the rest);
`make bench WHAT=encoders` runs one part. Contenders live in processes of their own and take turns within one run.
Figures are medians in milliseconds with quartiles in brackets; what takes more than 10 s is called once. The machines
are shared, so read the ratios, which come from one run, rather than the times. The raw results are in
`benchmarks/results/`.
"""
FAILURES = "failed.json"
BASELINE = "torch eager fp32"
PEER = "onnxruntime optimizer + quantize_dynamic"
OURS = "hundredfold int8"


def render(results: Path, page: Path = PAGE) -> None:
    """Write the page from whatever results there are, and the ledger's charts beside it."""
    sections = [HEAD + _headline(results) + _failures(results / FAILURES)]
    for name, write in SECTIONS.items():
        path = results / f"{name}.json"
        if path.is_file():
            result = json.loads(path.read_text(encoding="utf-8"))
            sections.append(write(result["measured"]) + _setting(result))
            drawn = ledger_page.charts(result["measured"]) if name == "ledger" else {}
            for file, svg in drawn.items():
                (page.parent / file).write_text(svg, encoding="utf-8")
    page.write_text("\n".join(sections), encoding="utf-8")


def _headline(results: Path) -> str:
    """What the parts of `make bench` took together, once each of them has said it."""
    files = [results / f"{name}.json" for name in HEADLINE]
    parts = [json.loads(file.read_text(encoding="utf-8")) for file in files if file.is_file()]
    seconds = [part["seconds"] for part in parts if "seconds" in part]
    took = f"\nThe parts of `make bench` took {sum(seconds) / 60:.1f} minutes in all.\n"
    return took if len(seconds) == len(HEADLINE) else ""


def _failures(path: Path) -> str:
    """Parts whose last run failed; what the page has of them is older."""
    failures = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return "".join(
        f"\n**{name} failed when it was last run**, {failed['date']}, commit {failed['commit']}: {failed['error']}\n"
        for name, failed in failures.items()
    )


def _encoders(measured: dict[str, Any], title: str = "BERT-base against its peers") -> str:
    cases = measured["cases"]
    lines = [f"## {title}", "", contest(measured, "texts x tokens")]
    ours: dict[str, Any] = next((s["results"] for s in measured["standings"] if s["name"] == OURS), {})
    lines += ["", f"`{OURS}` is this many times faster (ratio of medians):", "", header("than", cases)]
    for standing in measured["standings"]:
        theirs = standing["results"]
        if theirs and standing["name"] != OURS:
            both = [case in theirs and case in ours for case in cases]
            cells = [
                f"{theirs[case]['median_ms'] / ours[case]['median_ms']:.2f}" if ran else ""
                for case, ran in zip(cases, both, strict=True)
            ]
            lines.append(f"| {standing['name']} | " + " | ".join(cells) + " |")
    served = next((s["facts"].get("variant") for s in measured["standings"] if s["name"] == OURS), None)
    lines += [
        "",
        f"The weights are random at BERT-base's real configuration. The build chose `{served}` for this processor; "
        "it was judged by its distance from fp32's logits, since random weights have no accuracy. Contenders are given "
        "token ids, but for fastembed, which is given texts and runs the graph of the row above its own. CTranslate2 "
        "gives hidden states: it has no classification head. Where a peer is faster, the profile below shows in what.",
    ]
    return "\n".join(lines)


def _generators(measured: dict[str, Any]) -> str:
    lines = ["## Writing text, one prompt at a time", "", contest(measured, "model, prompt tokens, new tokens, beams")]
    figures = {s["name"]: _writing_figures(measured["cases"], s["results"]) for s in measured["standings"]}
    ours = figures.get(OURS, {})
    titles = list(dict.fromkeys(title for one in figures.values() for title in one))
    lines += [
        "",
        "Milliseconds from those medians: a prompt is the call for one token; a token is what the longer call took "
        "beyond it, divided by the further tokens.",
        "",
        header("", titles),
    ]
    for name, one in figures.items():
        lines.append(f"| {name} | " + " | ".join(f"{one[t]:.2f}" if t in one else "" for t in titles) + " |")
    lines += ["", f"`{OURS}` is this many times faster:", "", header("than", titles)]
    for name, one in figures.items():
        if one and name != OURS:
            cells = [f"{one[t] / ours[t]:.2f}" if t in one and ours.get(t, 0) > 0 else "" for t in titles]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    facts: dict[str, str] = next((s["facts"] for s in measured["standings"] if s["name"] == OURS), {})
    chosen = ", ".join(f"`{variant}` for {model}" for model, variant in facts.items())
    lines += ["", f"The weights are random at the models' real configurations. The build chose {chosen or 'nothing'}."]
    return "\n".join(lines)


def _writing_figures(cases: Sequence[str], results: Mapping[str, Any]) -> dict[str, float]:
    """Prompt and token where a prompt was also timed with one token, whole calls elsewhere; what was not run is not in.

    Cases are MODEL PROMPT TOKENS BEAMS.
    """
    figures: dict[str, float] = {}
    for case in cases:
        model, prompt, count, beams = case.split()
        first = f"{model} {prompt} 1 {beams}"
        if case not in results or case == first:
            continue
        took = results[case]["median_ms"]
        if first not in cases:
            figures[f"{model} {prompt}: {count} tokens" + (f", {beams} beams" if beams != "1" else "")] = took
        elif first in results:
            begun = results[first]["median_ms"]
            figures[f"{model}: prompt of {prompt}"] = begun
            figures[f"{model} after {prompt}: a token"] = (took - begun) / (int(count) - 1)
    return figures


def _exactness(measured: dict[str, Any]) -> str:
    lines = [
        "## The same answers without VNNI",
        "",
        "debian-sections on an emulated Haswell, which has AVX2 and no VNNI, against this processor. Nothing is timed. "
        "What follows is in [instruction-sets.md](instruction-sets.md).",
        "",
        "| variant | largest difference of a logit | scale of the logits | labels changed | taken as exact on AVX2 |",
        "|---|---|---|---|---|",
    ]
    for name, found in measured.items():
        claimed = "yes" if found["claimed exact on x86_64-avx2"] else "no"
        changed = f"{found['labels changed']} of {found['texts']}"
        lines.append(f"| `{name}` | {found['largest difference']:.2g} | {found['scale']:.2f} | {changed} | {claimed} |")
    return "\n".join(lines)


def _operators(measured: dict[str, Any]) -> str:
    text = (
        "Linear layers are 768 to 3,072; norms are 768 wide. `SkipLayerNormalization` and s8 activations are what the "
        "graph avoids."
    )
    return "\n".join(["## Operators", "", text, "", contest(measured, "rows")])


def _events(measured: dict[str, Any]) -> str:
    lines = [
        "## Event in to response out",
        "",
        "Function URL events with held-out package descriptions through `functions.https.handler`, in process.",
        "",
        "| model | texts | p50 ms | p99 ms | http and the rest | tokenization | inference |",
        "|---|---|---|---|---|---|---|",
    ]
    for model, passes in measured.items():
        for title, result in passes.items():
            stages = result["median_ms_by_stage"]
            shares = [f"{stages[s]:.3f}" for s in ("http and the rest", "tokenization", "inference")]
            lines.append(
                f"| {model} | {title} | {result['p50_ms']:.2f} | {result['p99_ms']:.2f} | {' | '.join(shares)} |"
            )
    return "\n".join(lines)


def _caches(measured: dict[str, Any]) -> str:
    lines = [
        "## Caches",
        "",
        "The example models with each cache and without it, taking turns in one process, one text at a time. "
        "`encodings` and `prefixes` are timed at the predictor; `responses` are whole events through the application, "
        "and `a miss` is what looking for an answer and keeping it costs when it was not there.",
        "",
        "| | without, ms | with, ms | times as fast |",
        "|---|---|---|---|",
    ]
    for title, results in measured["cases"].items():
        without, cached = results["without"], results["with"]
        ratio = without["median_ms"] / cached["median_ms"]
        lines.append(f"| {title} | {cell(without)} | {cell(cached)} | {ratio:.2f} |")
    return "\n".join(lines)


def _cold_start(measured: dict[str, Any]) -> str:
    lines = [
        "## Cold start",
        "",
        "A fresh interpreter, from process start to the first answer; warm page cache. This project's side is the "
        "HTTPS function handed an event, the torch side the pipeline alone, without an HTTP stack.",
        "",
        "| | median ms [quartiles] |",
        "|---|---|",
    ]
    for name, spread in measured["process start to first answer"].items():
        lines.append(f"| {name} | {spread['median_ms']} [{spread['low_ms']} to {spread['high_ms']}] |")
    lines += [f"| {name} | could not run: {error} |" for name, error in measured["errors"].items()]
    imports = ", ".join(f"{name} {ms:.0f}" for name, ms in measured["imports"].items())
    lines += ["", "| | MiB resident at the peak, until the answer |", "|---|---|"]
    lines += [f"| {name} | {mib:,} |" for name, mib in measured["peak_mib"].items()]
    lines += ["", "| installed runtime, with all that it requires | MiB on disk |", "|---|---|"]
    lines += [f"| {name} | {mib:,} |" for name, mib in measured["installed_mib"].items()]
    lines += ["", f"Imports one after the other, ms: {imports}.", "", "Stages of a load, ms:", ""]
    for name, stages in measured["stages"].items():
        lines.append(f"- {name}: " + ", ".join(f"{stage} {ms:.0f}" for stage, ms in stages.items()))
    return "\n".join(lines)


def _memory_sizes(measured: dict[str, Any]) -> str:
    lines = [
        "## Memory sizes of a function",
        "",
        "What a function of each memory size would have, with a Linux CPU quota (20 ms period) as stand-in for "
        "Lambda's share, one text after the other. Beside it, what the planner makes of medians measured without a "
        "quota in the same run; [planner.md](planner.md#latency) explains the scaling. Milliseconds.",
        "",
        header("model, tokens, MiB (threads)", ["mean", "planned", "p95", "planned", "median"]),
    ]
    for model, cases in measured.items():
        for tokens, case in cases.items():
            for threads, spread in case["without a quota"].items():
                figures = [f"{spread[key]:.2f}" for key in ("mean_ms", "p95_ms", "median_ms")]
                lines.append(
                    f"| {model}, {tokens}, no quota ({threads}) | {figures[0]} | | {' | | '.join(figures[1:])} |"
                )
            for memory, size in case["sizes"].items():
                keys = ("mean_ms", "planned_mean_ms", "p95_ms", "planned_p95_ms", "median_ms")
                cells = " | ".join(f"{size[key]:.2f}" for key in keys)
                lines.append(f"| {model}, {tokens}, {memory} ({1 if int(memory) < 1800 else 2}) | {cells} |")
    return "\n".join(lines)


def _setting(result: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    threads = result["measured"].get("threads")
    cores = f"{threads} threads of {result['cores']} cores" if threads else f"{result['cores']} cores"
    took = f"measured in {result['seconds'] / 60:.1f} minutes, " if "seconds" in result else ""
    return (
        f"\n\n_{result['date']}, {took}{result['processor']}, {cores}, Python {result['python']}, {versions}, "
        f"commit {result['commit']}._\n"
    )


SECTIONS: dict[str, Callable[[dict[str, Any]], str]] = {
    "ledger": lambda measured: f"{ledger_page.section(measured)}\n{cost.section(measured)}",
    "encoders": _encoders,
    "encoders_full": lambda measured: _encoders(measured, "BERT-base, every length and batch"),
    "profiles": profiles.section,
    "generators": _generators,
    "prefixes": prefixes.section,
    "lookup": lookup.section,
    "events": _events,
    "functions": functions.section,
    "caches": _caches,
    "batches": batches.section,
    "cold_start": _cold_start,
    "load": load.section,
    "load_full": load_full.section,
    "operators": _operators,
    "run_sizes": run_sizes.section,
    "memory": resident.section,
    "artifacts": artifacts.section,
    "builds": builds.section,
    "exactness": _exactness,
    "memory_sizes": _memory_sizes,
    "gpu": gpu_section,
    "endpoint": endpoint.section,
    "endpoint_card": endpoint.section,
}
