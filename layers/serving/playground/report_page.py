"""The gate's report as tables for people: one document, no script."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from string import Template
from typing import Any

from fastapi import Response

from layers.serving.playground.card import megabytes
from layers.serving.playground.page import hash_source, read_part, security_headers

Report = dict[str, Any]


def report_page(reports: Sequence[Report]) -> Response:
    """The page for these reports, which `gate_report` made."""
    style = read_part("page.css") + read_part("report.css")
    body = Template(read_part("report.html")).substitute(
        style=style, models="\n".join(_section(report) for report in reports)
    )
    policy = f"style-src {hash_source(style)}; img-src data:"
    return Response(body, media_type="text/html", headers=security_headers(policy))


def _section(report: Report) -> str:
    facts = {
        "Task": report["task"],
        "Architecture": report["architecture"],
        "Source": report["source"] + (f" at {report['revision']}" if report["revision"] else ""),
        "Precision asked for": report["precision_asked"],
        "Served here": report["serving"],
        "Chosen": ", ".join(f"{variant} for {machine}" for machine, variant in report["chosen"].items()),
        "fp32 compared with": report["parity"],
        "Built with": ", ".join(f"{name} {version}" for name, version in report["versions"].items()),
        "Digest": report["digest"],
    }
    described = "".join(f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>" for name, value in facts.items())
    return (
        f'<section class="panel"><h2>{escape(report["name"])}</h2><dl>{described}</dl>'
        f'<div class="scroll" tabindex="0" role="region" aria-label="Variants">{_table(report)}</div></section>'
    )


def _table(report: Report) -> str:
    variants: list[Report] = report["variants"]
    threads = max((int(count) for variant in variants for count in variant["latency_ms"]), default=1)
    timed = {case for variant in variants for case in variant["latency_ms"].get(str(threads), {})}
    cases = sorted(timed, key=lambda case: (not case.isdigit(), int(case) if case.isdigit() else 0, case))
    verdict = variants[0]["verdict"]
    headings = ["Variant", "Size", verdict["metric"], "Drop", "95% interval"]
    headings += [f"{case} tokens, ms" if case.isdigit() else f"{case}, ms" for case in cases]
    head = "".join(f'<th scope="col">{escape(heading)}</th>' for heading in [*headings, "Verdict"])
    rows = "".join(_row(report, variant, str(threads), cases) for variant in variants)
    caption = f"{verdict['n']:,} examples; a drop of at most {verdict['max_drop']:.2%} was allowed."
    if cases:
        caption += f" Times are medians of one text at {threads} thread{'s' if threads > 1 else ''}."
    caption = f"<caption>{escape(caption)}</caption>"
    return f'<table class="variants">{caption}<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'


def _row(report: Report, variant: Report, threads: str, cases: Sequence[str]) -> str:
    found = variant["verdict"]
    low, high = found["interval"]
    latencies = variant["latency_ms"].get(threads, {})
    cells = [
        variant["name"],
        megabytes(variant["bytes"]),
        f"{found['value']:.4f}",
        f"{found['drop']:+.2%}",
        f"{low:+.2%} to {high:+.2%}",
        *(f"{latencies[case]:.2f}" if case in latencies else "" for case in cases),
    ]
    serving = ' class="serving"' if variant["name"] == report["serving"] else ""
    row = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
    return f"<tr{serving}>{row}<td>{_words(variant)}</td></tr>"


def _words(variant: Report) -> str:
    words = ["passed" if variant["verdict"]["passed"] else '<span class="failed">failed</span>']
    if not variant["row_independent"]:
        words.append("one text a call")
    if variant["kept_fp32"]:
        kept = escape(", ".join(variant["kept_fp32"]))
        words.append(f'<span title="{kept}">{len(variant["kept_fp32"])} layers kept in fp32</span>')
    if variant["chosen_for"]:
        words.append("chosen for " + escape(", ".join(variant["chosen_for"])))
    elif not variant["shipped"]:
        words.append("not shipped")
    return "; ".join(words)
