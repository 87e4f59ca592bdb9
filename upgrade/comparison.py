"""What differs between two observations, and which of it is worse. Knows neither environments nor how they were run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from upgrade.latency import Latencies
from upgrade.surface import ABSENT

Judgement = Literal["same", "changed", "worse"]
# A metric may move by this much of its value without being called a change: other kernels round otherwise.
METRIC_NOISE = 1e-3
# Slower than this, and beyond both spreads, is worse. The machine alone moves medians of one run by a few percent.
SLOWER = 1.10


@dataclass(frozen=True)
class Finding:
    """One line of the report: an area, what of it, before and after."""

    area: Literal["accuracy", "choice", "parity", "goldens", "latency", "fused nodes", "API", "tensors", "warnings"]
    subject: str
    before: str
    after: str
    judgement: Judgement


def compare(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Finding]:
    """Findings of two files that observe.py wrote."""
    for name, model in before["models"].items():
        yield from _models(name, model, after["models"].get(name, {"error": "not built"}))
    yield from _parity(before["parity"], after["parity"])
    yield from _tensors(before["tensors"], after["tensors"])
    yield from _api(before["api"], after["api"])
    for warning in sorted(set(after["warnings"]) - set(before["warnings"])):
        yield Finding("warnings", warning, "not raised", "raised", "changed")


def compare_latencies(latencies: Latencies, baseline: str) -> Iterator[Finding]:
    """Findings of every contender against the baseline, and of the recorded answers.

    Latency is judged where the same variant answered; of another one, the time is told beside its name.
    """
    for name, medians in latencies.median_ms.items():
        for model in medians if name != baseline else ():
            yield _latency(latencies, model, baseline, name)
    for name, error in latencies.errors.items():
        yield Finding("latency", name, "answers", error, "worse")
    for name, differences in latencies.goldens.items():
        for model, difference in differences.items():
            yield Finding(
                "goldens",
                f"{model}, {name}",
                "recorded",
                difference or "as recorded",
                "worse" if difference else "same",
            )


def _latency(latencies: Latencies, model: str, baseline: str, name: str) -> Finding:
    before, after = (latencies.median_ms[each][model] for each in (baseline, name))
    times = f"{before:.2f} ms", f"{after:.2f} ms, {after / before:.2f}x"
    was, now = (latencies.variants[each][model] for each in (baseline, name))
    if was != now:
        return Finding("choice", f"{model}, {name}", f"{was}: {times[0]}", f"{now}: {times[1]}", "changed")
    apart = latencies.low_ms[name][model] > latencies.high_ms[baseline][model]
    slower = after > SLOWER * before and apart
    return Finding("latency", f"{model}, {name}, {was}", *times, "worse" if slower else "same")


def _models(name: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Finding]:
    if "error" in before or "error" in after:
        texts = [each.get("error", "built") for each in (before, after)]
        yield Finding("accuracy", name, texts[0], texts[1], "worse" if "error" in after else "changed")
        return
    old, new = ({variant["name"]: variant for variant in each["variants"]} for each in (before, after))
    yield Finding("accuracy", f"{name}, fp32 graph", before["parity"], after["parity"], "same")
    for variant in old:
        if variant not in new:
            yield Finding("accuracy", f"{name}, {variant}", "tried", "not tried", "worse")
            continue
        was, now = old[variant]["verdict"], new[variant]["verdict"]
        yield Finding("accuracy", f"{name}, {variant}, {was['metric']}", _verdict(was), _verdict(now), _judge(was, now))
        if old[variant]["fused_nodes"] != new[variant]["fused_nodes"]:
            yield _nodes(f"{name}, {variant}", old[variant]["fused_nodes"], new[variant]["fused_nodes"])
    counted = sum(sum(variant["fused_nodes"].values()) for variant in old.values())
    if all(old[each]["fused_nodes"] == new[each]["fused_nodes"] for each in old if each in new):
        yield Finding("fused nodes", name, f"{counted} in {len(old)} variants", "the same", "same")
    kept = before["chosen"] == after["chosen"]
    yield Finding("choice", name, _chosen(before["chosen"]), _chosen(after["chosen"]), "same" if kept else "changed")


def _chosen(by_machine: Mapping[str, str]) -> str:
    return ", ".join(f"{machine}: {variant}" for machine, variant in sorted(by_machine.items()))


def _judge(was: Mapping[str, Any], now: Mapping[str, Any]) -> Judgement:
    if was["passed"] and not now["passed"]:
        return "worse"
    if was["passed"] != now["passed"]:
        return "changed"
    return "changed" if abs(now["value"] - was["value"]) > METRIC_NOISE * abs(was["value"]) else "same"


def _verdict(verdict: Mapping[str, Any]) -> str:
    return f"{verdict['value']:.4f} {'passed' if verdict['passed'] else 'failed'}"


def _nodes(subject: str, old: Mapping[str, int], new: Mapping[str, int]) -> Finding:
    moved = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    texts = [", ".join(f"{name} {nodes.get(name, 0)}" for name in moved) for nodes in (old, new)]
    return Finding("fused nodes", subject, texts[0], texts[1], "worse")


def _parity(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Finding]:
    passed = [sum(outcome == "passed" for outcome in each.values()) for each in (before, after)]
    totals = [f"{count} of {len(each)} pass" for count, each in zip(passed, (before, after), strict=True)]
    yield Finding("parity", "tests", totals[0], totals[1], "worse" if not after else "same")
    for test in sorted(before.keys() | after.keys()):
        was, now = before.get(test, "not there"), after.get(test, "not there")
        if was != now:
            yield Finding("parity", test, was, now, "changed" if now == "passed" else "worse")


def _tensors(before: Mapping[str, list[str]], after: Mapping[str, list[str]]) -> Iterator[Finding]:
    for family in before:
        gone = sorted(set(before[family]) - set(after.get(family, [])))
        come = sorted(set(after.get(family, [])) - set(before[family]))
        if gone or come:
            yield Finding("tensors", family, ", ".join(gone) or "-", ", ".join(come) or "-", "changed")
    yield Finding("tensors", "families", str(len(before)), str(len(after)), "same")


def _api(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Finding]:
    yield Finding("API", "names in use", str(len(before)), str(len(after)), "same")
    for name in sorted(before.keys() | after.keys()):
        was, now = before.get(name, ABSENT), after.get(name, ABSENT)
        if was != now:
            yield Finding("API", name, was, now, "worse" if now.startswith(ABSENT) else "changed")
