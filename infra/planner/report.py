"""A plan in words: aligned plain text for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from infra.planner.break_even import representatives
from infra.planner.option import Option
from infra.planner.plan import Plan
from infra.planner.prices import PriceTable

HEADINGS = ("option", "p50 ms", "p95 ms", "cold", "at once", "max req/s", "$/month", "")


def as_text(plan: Plan, *, everything: bool = False) -> str:
    """The chosen option, the cheapest of every other kind (or every option), break-evens and notes."""
    others = plan.options[1:] if everything else [o for o in representatives(plan.options) if o != plan.chosen]
    lines = [_demand(plan), "", *_table([plan.chosen, *others]), ""]
    lines += [f"* {reason}." for reason in sorted({o.estimated for o in (plan.chosen, *others) if o.estimated})]
    lines += [_money(plan.chosen), *_crossings(plan), *(f"Note: {note}." for note in plan.notes)]
    return "\n".join(lines)


def options_as_text(options: Sequence[Option]) -> str:
    """The cheapest of every kind, when none was chosen."""
    return "\n".join(_table(representatives(tuple(options))))


def as_json(plan: Plan, prices: PriceTable) -> str:
    """Everything the plan holds, with the date and the sources of its prices."""
    content = {
        "model": plan.model,
        "demand": asdict(plan.demand),
        "p95_ms": plan.p95_ms,
        "budget_usd": plan.budget_usd,
        "chosen": plan.chosen.as_json(),
        "options": [option.as_json() for option in plan.options],
        "break_evens": [asdict(crossing) for crossing in plan.break_evens],
        "notes": list(plan.notes),
        "prices": {
            "region": prices.region,
            "as_of": prices.as_of.isoformat(),
            "sources": {name: source.model_dump() for name, source in prices.sources.items()},
        },
    }
    return json.dumps(content, indent=1)


def _demand(plan: Plan) -> str:
    demand = plan.demand
    text = f"{plan.model}: {demand.rate:g} requests a second"
    if demand.busy_hours < 24:
        text += f" for {demand.busy_hours:g} hours a day"
    if demand.peak > demand.rate:
        text += f", {demand.peak:g} at the peak"
    text += f"; p95 within {plan.p95_ms:g} ms"
    return text if plan.budget_usd is None else f"{text} and ${plan.budget_usd:,.2f} a month"


def _table(options: Sequence[Option]) -> list[str]:
    """Left-aligned names and reasons, right-aligned figures."""
    rows = [HEADINGS, *(_row(option) for option in options)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    return [_aligned(row, widths) for row in rows]


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    figures = [cell.rjust(width) for cell, width in zip(row[1:-1], widths[1:-1], strict=True)]
    return "  ".join([row[0].ljust(widths[0]), *figures, row[-1]]).rstrip()


def _row(option: Option) -> tuple[str, ...]:
    return (
        option.name + (" *" if option.estimated else ""),
        _figure(option.p50_ms),
        _figure(option.p95_ms),
        f"{option.cold_start_share:.1%}",
        str(option.concurrency),
        _figure(option.requests_per_second),
        f"{option.monthly_usd:,.2f}",
        option.why_not or "chosen",
    )


def _figure(value: float) -> str:
    return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def _money(plan_option: Option) -> str:
    parts = [f"{name} ${value:,.2f}" for name, value in asdict(plan_option.cost).items() if value]
    return f"{plan_option.name} a month: {', '.join(parts)}."


def _crossings(plan: Plan) -> list[str]:
    if not plan.break_evens:
        return ["At no demand does another kind of option cost less."]
    return [
        f"From {at.requests_per_second:,.3g} requests a second on, {at.above} costs less than {at.below}."
        for at in plan.break_evens
    ]
