"""The graphics card's section of docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

OURS = "hundredfold"


def gpu_section(measured: Mapping[str, Any]) -> str:
    """Both contests, the ratios, and what was not measured."""
    encoders, generators = measured["encoders"], measured["generators"]
    lines = [
        "## On a graphics card",
        "",
        f"{measured['card']}, onnxruntime-gpu {measured['onnxruntime']}. Token ids on the processor in, answers on the "
        "processor out. Medians in milliseconds. Every contender's logits of BERT and log probabilities of GPT-2 were "
        "compared with fp32 on the processor first; one off by more than 2% of their scale would not have been timed.",
        "",
        "BERT-base in float16, texts x tokens:",
        "",
        *_table(encoders["cases"], encoders["standings"]),
        "",
        "GPT-2 (124M) and T5-small, greedy, whole calls; model, prompt tokens, new tokens, beams:",
        "",
        *_table(generators["cases"], generators["standings"]),
        "",
        *_tokens(generators["standings"]),
    ]
    if measured.get("not_measured"):
        lines += ["", f"Not yet measured: {', '.join(measured['not_measured'])}."]
    return "\n".join(lines)


def _table(cases: Sequence[str], standings: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = ["| | " + " | ".join(cases) + " |", "|" + "---|" * (len(cases) + 1)]
    for standing in standings:
        cells = [standing["error"] or ""] * len(cases)
        for index, case in enumerate(cases):
            if case in standing["results"]:
                cells[index] = f"{standing['results'][case]['median_ms']:.2f}"
        lines.append(f"| {standing['name']} | " + " | ".join(cells) + " |")
    ours = next(standing["results"] for standing in standings if standing["name"] == OURS)
    for standing in standings:
        results = standing["results"]
        if standing["name"] == OURS or not results:
            continue
        ratios = [
            f"{results[case]['median_ms'] / ours[case]['median_ms']:.2f}" if case in results and case in ours else ""
            for case in cases
        ]
        lines.append(f"| {OURS} over {standing['name']} | " + " | ".join(ratios) + " |")
    return lines


def _tokens(standings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Milliseconds a token: what 64 tokens took beyond the first one, over 63."""
    lines = ["Milliseconds a token of GPT-2, what 64 tokens took beyond the first over 63:", ""]
    for standing in standings:
        results = standing["results"]
        figures = [
            f"{(results[f'gpt2 {n} 64 1']['median_ms'] - results[f'gpt2 {n} 1 1']['median_ms']) / 63:.3f} after {n}"
            for n in (128, 512)
            if f"gpt2 {n} 64 1" in results and f"gpt2 {n} 1 1" in results
        ]
        lines.append(f"- {standing['name']}: {', '.join(figures) or 'not measured'}")
    return lines
