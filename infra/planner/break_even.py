"""The demand at which one kind of option starts to cost less than another."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from infra.planner.option import Option
from infra.planner.workload import Candidate, Workload

LOWEST, HIGHEST, STEPS_A_DECADE, HALVINGS = 1e-4, 1e4, 8, 40
# (requests a second, dollars a month)
Curve = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class BreakEven:
    """Below `requests_per_second` `below` costs less, from there on `above` does."""

    below: str
    above: str
    requests_per_second: float


def rates() -> tuple[float, ...]:
    """Demands to look at, evenly spaced on a logarithmic scale."""
    decades = 8
    count = decades * STEPS_A_DECADE
    return tuple(LOWEST * (HIGHEST / LOWEST) ** (step / count) for step in range(count + 1))


def family(option: Option) -> tuple[str, ...]:
    """Options of one family differ in size; a plan compares the cheapest of each."""
    if option.target == "lambda":
        start = "provisioned" if option.provisioned else "snapstart" if option.snapstart else ""
        return ("lambda", option.architecture or "", start)
    return ("gpu", "cpu" if option.estimated is None else "gpu", option.mode or "")


def representatives(options: tuple[Option, ...]) -> tuple[Option, ...]:
    """The first of each family: the cheapest that keeps the target, or that could be deployed at all."""
    first: dict[tuple[str, ...], Option] = {}
    for option in sorted(options, key=lambda option: (not option.meets_target, option.monthly_usd)):
        first.setdefault(family(option), option)
    return tuple(first.values())


def curves(work: Workload, candidates: Iterable[Candidate], kinds: Iterable[str]) -> dict[str, Curve]:
    """Cost over all rates, of each of these kinds."""
    wanted = set(kinds)
    named = {kind: candidate for candidate in candidates if (kind := candidate(work).kind) in wanted}
    return {
        kind: tuple((rate, candidate(work.at(rate)).monthly_usd) for rate in rates())
        for kind, candidate in named.items()
    }


def break_evens(
    work: Workload, candidates: tuple[Candidate, ...], chosen: Option, options: tuple[Option, ...]
) -> tuple[BreakEven, ...]:
    """Where the chosen kind and each other family's cheapest cross, lowest demand first."""
    by_kind = {candidate(work).kind: candidate for candidate in candidates}
    ours = by_kind[chosen.kind]
    found: list[BreakEven] = []
    for other in representatives(options):
        if family(other) != family(chosen):
            theirs = by_kind[other.kind]
            for low, high, cheaper in _changes(work, ours, theirs):
                names = (chosen.kind, other.kind) if cheaper else (other.kind, chosen.kind)
                found.append(BreakEven(*names, _bisect(work, ours, theirs, low, high)))
    return tuple(sorted(found, key=lambda crossing: crossing.requests_per_second))


def _changes(work: Workload, ours: Candidate, theirs: Candidate) -> Iterator[tuple[float, float, bool]]:
    """Neighbouring rates between which the order changes, with whether ours costs less at the lower one."""
    order = [(rate, _costs_less(work, ours, theirs, rate)) for rate in rates()]
    for (low, before), (high, after) in itertools.pairwise(order):
        if before != after:
            yield low, high, before


def _costs_less(work: Workload, ours: Candidate, theirs: Candidate, rate: float) -> bool:
    there = work.at(rate)
    return ours(there).monthly_usd < theirs(there).monthly_usd


def _bisect(work: Workload, ours: Candidate, theirs: Candidate, low: float, high: float) -> float:
    """The rate between two where the order changes."""
    before = _costs_less(work, ours, theirs, low)
    for _ in range(HALVINGS):
        middle = (low * high) ** 0.5
        if _costs_less(work, ours, theirs, middle) == before:
            low = middle
        else:
            high = middle
    return high
