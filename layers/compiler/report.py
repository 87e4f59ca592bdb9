"""What a build says when it is done: a table of variants for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import takewhile

from rich.table import Table

from layers.artifact import Manifest, Trial, Variant


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


def trials_of(manifest: Manifest) -> list[Table | str]:
    """What tuning tried for each form that is served, what each alternative gained, and what stayed."""
    told: list[Table | str] = []
    for variant in manifest.variants:
        if variant.tuned is None or variant.file is None:
            continue
        kept = ", ".join(f"{axis} = {value}" for axis, value in variant.operators.items()) or "the default ones"
        low, high = variant.tuned.interval
        gain = f": {variant.tuned.gain:.2f} times as fast [{low:.2f} to {high:.2f}]" if variant.operators else ""
        title = f"{manifest.name}: operators of {variant.name}: {kept}{gain} ({variant.tuned.origin})"
        trials = variant.tuned.trials
        if not trials or any(variant.tuned == earlier.tuned for earlier in _before(manifest, variant)):
            told.append(title)
        else:
            told.append(_table_of_trials(title, trials))
    return told


def _before(manifest: Manifest, variant: Variant) -> Iterator[Variant]:
    """Served variants that stand before one in the manifest."""
    return takewhile(lambda each: each != variant, (each for each in manifest.variants if each.file))


def _table_of_trials(title: str, trials: Sequence[Trial]) -> Table:
    table = Table(title=title, title_justify="left")
    for heading in ("operator", "instead of", "times as fast", "95% interval", "kept"):
        table.add_column(heading, justify="right" if heading in ("times as fast", "95% interval") else "left")
    for trial in trials:
        span = f"{trial.interval[0]:.2f} to {trial.interval[1]:.2f}"
        outcome = "yes" if trial.kept else f"no: {trial.why}"
        table.add_row(f"{trial.axis} = {trial.value}", trial.instead_of, f"{trial.gain:.2f}", span, outcome)
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
