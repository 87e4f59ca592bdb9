"""Dollars for a million requests: the ledger's durations times Lambda's prices. Computed, not a bill."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.ledger import NAIVE, ONE_THREAD, QUANTIZED, TUNED
from benchmarks.ledger_page import medians_of
from benchmarks.tables import header
from infra.planner.latency import MIB_PER_VCPU
from infra.planner.prices import PriceTable

# Durations on two cores are those of a function with two vCPUs.
SIZES = {NAIVE: 2 * MIB_PER_VCPU, TUNED: 2 * MIB_PER_VCPU, QUANTIZED: 2 * MIB_PER_VCPU, ONE_THREAD: MIB_PER_VCPU}


def dollars_per_million(ms: float, memory_mib: int, prices: PriceTable) -> float:
    """Duration and requests of a million invocations that take `ms` each, on x86-64; whole milliseconds are billed."""
    billed_seconds = max(1, -(-ms // 1)) / 1e3
    duration = 1e6 * billed_seconds * memory_mib / 1024 * prices.functions.x86_64.gb_second
    return duration + prices.functions.million_requests


def section(ledger: dict[str, Any]) -> str:
    """For docs/benchmarks.md, from the ledger's results."""
    prices = PriceTable.read()
    titles = [f"{name}, {memory:,} MiB" for name, memory in SIZES.items()]
    lines = [
        "## Cost",
        "",
        f"Dollars for a million requests on Lambda, x86-64, {prices.region}, prices of {prices.as_of}: the ledger's "
        "medians, rounded up to the millisecond that is billed, at the memory with as many vCPUs as the measurement "
        "had cores, plus the price of a request. Computed from measurements on this machine, not from a bill; cold "
        "starts, transfer and free tiers are not in it. In brackets the most MiB that the deployment's process had "
        "resident while it was measured.",
        "",
        header("", [*titles, "out of the box / cheapest here"]),
    ]
    for name, contest in ledger["workloads"].items():
        medians = medians_of(contest, name)
        costs = {
            rung: dollars_per_million(medians[rung], memory, prices)
            for rung, memory in SIZES.items()
            if rung in medians
        }
        ours = [costs[rung] for rung in (QUANTIZED, ONE_THREAD) if rung in costs]
        peaks = peaks_of(contest)
        cells = [f"{costs[rung]:,.2f} [{peaks.get(rung, 'not measured')}]" if rung in costs else "" for rung in SIZES]
        ratio = f"{costs[NAIVE] / min(ours):,.0f}" if ours and NAIVE in costs else ""
        lines.append(f"| {name} | " + " | ".join([*cells, ratio]) + " |")
    return "\n".join([*lines, "", *_fitting(ledger)])


def peaks_of(contest: Mapping[str, Any]) -> dict[str, int]:
    """MiB by rung, of those whose peak is known."""
    known = {s["name"]: s.get("peak_mib") for s in contest["standings"]}
    return {name: round(peak) for name, peak in known.items() if peak is not None}


def _fitting(ledger: Mapping[str, Any]) -> list[str]:
    """Which of the sizes that are paid for hold the deployment, as far as resident memory tells."""
    sized = [
        (name, rung, peaks_of(contest).get(rung)) for name, contest in ledger["workloads"].items() for rung in SIZES
    ]
    large = [f"{name}, {rung}" for name, rung, peak in sized if peak is not None and peak > SIZES[rung]]
    unknown = [f"{name}, {rung}" for name, rung, peak in sized if peak is None]
    said = [f"Does not fit into the memory it is priced at: {'; '.join(large)}."] if large else []
    said += [f"Whether it fits was not measured: {'; '.join(unknown)}."] if unknown else []
    return said or ["Every deployment fits into the memory that it is priced at, by that measure."]
