"""What a build says when it is done: a table of variants for people."""

from __future__ import annotations

from rich.table import Table

from layers.artifact import Manifest, Variant


def table_of(manifest: Manifest) -> Table:
    """Variant, size, metric, drop, median latency by length, verdict; chosen variants are named with their CPUs."""
    threads = max((t for variant in manifest.variants for t in variant.latency_ms), key=int, default="1")
    timed = {n for v in manifest.variants for n in v.latency_ms.get(threads, {})}
    lengths = sorted(timed, key=lambda name: (not name.isdigit(), int(name) if name.isdigit() else 0, name))
    table = Table(title=f"{manifest.name} ({manifest.architecture}, {manifest.task})", title_justify="left")
    for heading in (
        "variant",
        "size",
        "metric",
        "drop",
        *(f"p50 {n} tokens" if n.isdigit() else f"p50 {n}" for n in lengths),
        "verdict",
    ):
        table.add_column(heading, justify="left" if heading in ("variant", "verdict") else "right")
    for variant in manifest.variants:
        latencies = variant.latency_ms.get(threads, {})
        table.add_row(
            variant.name,
            f"{variant.bytes / 1e6:.1f} MB",
            f"{variant.verdict.metric} {variant.verdict.value:.4f}",
            f"{variant.verdict.drop:+.2%}",
            *(f"{latencies[n]:.2f} ms" if n in latencies else "" for n in lengths),
            _verdict(manifest, variant),
        )
    return table


def _verdict(manifest: Manifest, variant: Variant) -> str:
    served = [name for name, chosen in manifest.chosen.items() if chosen == variant.name]
    words = ["passed" if variant.verdict.passed else "failed"]
    if not variant.verdict.distinguishable and variant.verdict.drop > 0:
        words.append("within noise")
    if not variant.row_independent:
        words.append("one text a call")
    if variant.kept_fp32:
        words.append(f"{len(variant.kept_fp32)} layers in fp32")
    if served:
        words.append("serves " + ", ".join(served))
    return "; ".join(words)
