"""What counts as worse between two observations, and what only as a change."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from upgrade.comparison import compare, compare_latencies
from upgrade.latency import Latencies

VERDICT = {"metric": "accuracy", "value": 0.9, "passed": True}
VARIANT = {"name": "int8", "verdict": VERDICT, "fused_nodes": {"Attention": 2, "Add": 5}}
OBSERVED: dict[str, Any] = {
    "models": {"toy": {"chosen": {"arm64": "int8"}, "parity": "exact", "variants": [VARIANT], "unused_tensors": []}},
    "parity": {"test_a": "passed", "test_b": "passed"},
    "tensors": {"bert": ["encoder.weight", "pooler.weight"]},
    "api": {"library.Session": "(path, providers)"},
    "warnings": [],
}


def judged(change: Callable[[dict[str, Any]], Any]) -> dict[str, str]:
    """Judgement by area and subject, of what is not the same once `change` was made."""
    after = copy.deepcopy(OBSERVED)
    change(after)
    return {f"{f.area}: {f.subject}": f.judgement for f in compare(OBSERVED, after) if f.judgement != "same"}


def variant(observed: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = observed["models"]["toy"]["variants"][0]
    return found


def test_equal_observations_are_the_same() -> None:
    assert judged(lambda _after: None) == {}


@pytest.mark.parametrize(
    ("change", "subject", "judgement"),
    [
        (lambda after: variant(after)["verdict"].update(passed=False), "accuracy: toy, int8, accuracy", "worse"),
        (lambda after: variant(after)["verdict"].update(value=0.91), "accuracy: toy, int8, accuracy", "changed"),
        (lambda after: variant(after).update(fused_nodes={"Add": 9}), "fused nodes: toy, int8", "worse"),
        (lambda after: after["models"].update(toy={"error": "refused"}), "accuracy: toy", "worse"),
        (lambda after: after["models"]["toy"].update(variants=[]), "accuracy: toy, int8", "worse"),
        (lambda after: after["models"]["toy"].update(chosen={}), "choice: toy", "changed"),
        (lambda after: after["parity"].update(test_a="1e-2 of the scale"), "parity: test_a", "worse"),
        (lambda after: after["parity"].pop("test_a"), "parity: test_a", "worse"),
        (lambda after: after["tensors"].update(bert=["encoder.w"]), "tensors: bert", "changed"),
        (lambda after: after["api"].update({"library.Session": "(path)"}), "API: library.Session", "changed"),
        (lambda after: after["api"].update({"library.Session": "absent"}), "API: library.Session", "worse"),
        (lambda after: after["warnings"].append("old.py: going away"), "warnings: old.py: going away", "changed"),
    ],
)
def test_a_difference_is_judged(change: Callable[[dict[str, Any]], Any], subject: str, judgement: str) -> None:
    assert judged(change)[subject] == judgement


@pytest.mark.parametrize(
    ("median", "low", "judgement"), [(1.05, 1.04, "same"), (1.5, 1.4, "worse"), (1.5, 0.9, "same"), (0.5, 0.4, "same")]
)
def test_slower_than_the_spread_is_worse(median: float, low: float, judgement: str) -> None:
    spread = [{"pinned": {"toy": 1.0}, "newest": {"toy": value}} for value in (median, low, median)]
    spread[2]["pinned"]["toy"] = 1.02
    same = {"pinned": {"toy": "int8-row"}, "newest": {"toy": "int8-row"}}
    [finding] = compare_latencies(Latencies(spread[0], spread[1], spread[2], {}, same, {}), "pinned")
    assert (finding.area, finding.judgement) == ("latency", judgement)


def test_another_variants_time_is_told_and_not_judged() -> None:
    medians = {"pinned": {"toy": 3.77}, "newest": {"toy": 5.0}}
    variants = {"pinned": {"toy": "int8-dynamic"}, "newest": {"toy": "int8-row-7bit"}}
    [finding] = compare_latencies(Latencies(medians, medians, medians, {}, variants, {}), "pinned")
    assert (finding.area, finding.judgement) == ("choice", "changed")
    assert (finding.before, finding.after) == ("int8-dynamic: 3.77 ms", "int8-row-7bit: 5.00 ms, 1.33x")


def test_an_answer_other_than_the_recorded_one_is_worse() -> None:
    answers = {"pinned": {"toy": None}, "newest": {"toy": "expected 1, got 2"}}
    findings = compare_latencies(Latencies({}, {}, {}, answers, {}, {}), "pinned")
    assert [finding.judgement for finding in findings] == ["same", "worse"]


def test_a_contender_that_does_not_load_is_worse() -> None:
    failed = Latencies({"pinned": {"toy": 1.0}}, {}, {}, {"newest": {}}, {}, {"newest": "ImportError"})
    assert [finding.judgement for finding in compare_latencies(failed, "pinned")] == ["worse"]
