"""Which variant each instruction set is served: the fastest that passed, by measurement where there is one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from layers.artifact import InstructionSet, Variant
from layers.catalogue import ModelSpec
from layers.compiler.timing import geometric_mean
from layers.compiler.variants import PREFERENCE
from layers.errors import GateError

# Medians of the same graph differed by up to this share between two runs on a shared machine.
TIMING_NOISE = 0.05
# Latencies are of one text. A variant whose rows depend on each other gets no batches, no prefix reuse and no cached
# answers, so it has to be this much faster to be worth it.
COMPANY_HANDICAP = 1.5


def choose(
    spec: ModelSpec,
    variants: Iterable[Variant],
    targets: tuple[InstructionSet, ...],
    threads: str,
    order: Sequence[str] = PREFERENCE,
) -> dict[InstructionSet, str]:
    """The chosen variant's name per instruction set.

    Latencies measured on this machine decide for its own kind of processor (the nearest there is for its
    relatives); for the other kind the `order` of names does. Raises GateError when the precision was asked for by name
    and nothing of it passed.
    """
    passed = [variant for variant in variants if variant.verdict.passed]
    wanted = [v for v in passed if spec.precision in ("auto", v.precision)]
    chosen: dict[InstructionSet, str] = {}
    for target in targets:
        eligible = [variant for variant in wanted if target in variant.exact_on]
        if not eligible:
            raise GateError(_explain(spec, list(variants), target))
        timed = [variant for variant in eligible if variant.latency_ms.get(threads)]
        if timed:
            best = _best_timed(timed, threads)
        else:
            best = min(eligible, key=lambda variant: (len(variant.kept_fp32), order.index(variant.name)))
        chosen[target] = best.name
    return chosen


def _best_timed(variants: list[Variant], threads: str) -> Variant:
    """The fastest, with a handicap for what runs one text a call; among equals that decides, then what was lost."""
    means = {
        variant.name: geometric_mean(variant.latency_ms[threads]) * (1 if variant.row_independent else COMPANY_HANDICAP)
        for variant in variants
    }
    bar = min(means.values()) * (1 + TIMING_NOISE)
    tied = [variant for variant in variants if means[variant.name] <= bar]
    return min(tied, key=lambda variant: (not variant.row_independent, variant.verdict.drop, means[variant.name]))


def _explain(spec: ModelSpec, variants: list[Variant], target: InstructionSet) -> str:
    # With "auto" only a card has nothing to serve: fp32 is a processor's, and always passes there.
    wanted, otherwise = f"{spec.precision} ", 'Use precision = "auto" to ship the fastest that passes'
    if spec.precision == "auto":
        wanted, otherwise = "", "Build for a processor"
    tried = [v for v in variants if spec.precision in ("auto", v.precision) and target in v.exact_on]
    if not tried:
        return f'{spec.name}: no {wanted}variant is exact on {target}. Use precision = "auto".'
    failed = f"{spec.name}: no {wanted}variant passed the gate for {target}"
    # What is not finite has no value, and none is nearer to fp32 than another.
    finite = [variant for variant in tried if variant.verdict.n]
    if not finite:
        return f"{failed}: answers are not finite. {otherwise}. Nothing was written."
    best = min(finite, key=lambda variant: variant.verdict.drop)
    verdict = best.verdict
    return (
        f"{failed}. The best, {best.name}, has "
        f"{verdict.metric} {verdict.value:.4f} against fp32's {verdict.reference:.4f}: dropped {verdict.drop:.2%}, "
        f"allowed {verdict.max_drop:.2%} (n {verdict.n}, 95% interval {verdict.interval[0]:+.2%} to "
        f"{verdict.interval[1]:+.2%}). {otherwise}, or raise gate.max_drop. Nothing was written."
    )
