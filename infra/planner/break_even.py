"""The demand at which one kind of option starts to cost less than another."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

from infra.planner.option import Option

LOWEST, HIGHEST, STEPS_A_DECADE, HALVINGS = 1e-4, 1e4, 8, 40
Options = Callable[[float], tuple[Option, ...]]


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


def curves(kinds: tuple[str, ...], options_at: Options) -> dict[str, tuple[tuple[float, float], ...]]:
    """(requests a second, dollars a month) of each kind, over all rates."""
    found: dict[str, list[tuple[float, float]]] = {kind: [] for kind in kinds}
    for rate in rates():
        for option in options_at(rate):
            if option.kind in found:
                found[option.kind].append((rate, option.monthly_usd))
    return {kind: tuple(points) for kind, points in found.items()}


def break_evens(chosen: Option, options: tuple[Option, ...], options_at: Options) -> tuple[BreakEven, ...]:
    """Where the chosen kind and each other family's cheapest cross, lowest demand first."""
    others = [option for option in representatives(options) if family(option) != family(chosen)]
    costs = curves((chosen.kind, *(other.kind for other in others)), options_at)
    found: list[BreakEven] = []
    for other in others:
        pairs = list(zip(costs[chosen.kind], costs[other.kind], strict=True))
        for (a, b), (c, d) in itertools.pairwise(pairs):
            if (a[1] < b[1]) != (c[1] < d[1]):
                crossing = _bisect(a[0], c[0], chosen.kind, other.kind, options_at)
                names = (chosen.kind, other.kind) if a[1] < b[1] else (other.kind, chosen.kind)
                found.append(BreakEven(*names, crossing))
    return tuple(sorted(found, key=lambda crossing: crossing.requests_per_second))


def _bisect(low: float, high: float, one: str, other: str, options_at: Options) -> float:
    """The rate between two where the order of two kinds changes."""

    def one_is_cheaper(rate: float) -> bool:
        prices = {option.kind: option.monthly_usd for option in options_at(rate)}
        return prices[one] < prices[other]

    before = one_is_cheaper(low)
    for _ in range(HALVINGS):
        middle = (low * high) ** 0.5
        if one_is_cheaper(middle) == before:
            low = middle
        else:
            high = middle
    return high
