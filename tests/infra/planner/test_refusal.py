"""What cannot be met is refused, with a change that would do; each piece of advice is followed and works."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.planner import PriceTable, UnmetDemandError, plan_model
from infra.planner.assumptions import Assumptions
from layers.artifact import InstructionSet
from layers.catalogue import DeploySpec, GateSpec
from tests.infra.planner.manifests import X86, manifest_of, spec_of

PRICES = PriceTable.read()


def refusal(traffic: dict[str, Any], **deploy: Any) -> str:
    with pytest.raises(UnmetDemandError) as refused:
        plan_model(spec_of(traffic, **deploy), manifest_of(), PRICES)
    assert refused.value.options
    assert not any(option.can_be_chosen for option in refused.value.options)
    return str(refused.value)


def advised(message: str, key: str) -> float:
    found = re.search(rf"{key} = ([\d.]+)", message)
    assert found, message
    return float(found[1])


def test_a_target_that_is_too_low() -> None:
    message = refusal({"p95_ms": 2})
    assert message.startswith("m: nothing answers 1 requests a second of 32 tokens in and 0 out with p95 2 ms.")
    target = advised(message, "p95_ms")
    plan = plan_model(spec_of({"p95_ms": target}), manifest_of(), PRICES)
    assert min(option.p95_ms for option in plan.options if option.target == "lambda") >= target * 0.99


@pytest.mark.parametrize(("concurrency", "enough"), [(2, False), (5, True)])
def test_a_target_that_is_too_low_under_a_stated_concurrency(concurrency: int, enough: bool) -> None:
    """No patience helps where there are too few environments."""
    traffic = {"requests_per_second": 30, "p95_ms": 2}
    message = refusal(traffic, concurrency=concurrency)
    assert ("p95_ms = " in message) is enough
    if enough:
        traffic["p95_ms"] = advised(message, "p95_ms")
        assert plan_model(spec_of(traffic, concurrency=concurrency), manifest_of(), PRICES).chosen


@given(st.floats(0.001, 200), st.integers(1, 8), st.floats(1, 500), st.sampled_from([256, 1769, "auto"]))
@settings(max_examples=40, deadline=None)
def test_every_target_that_is_advised_is_enough(rate: float, concurrency: int, p95_ms: float, memory_mib: Any) -> None:
    deploy = {"concurrency": concurrency, "memory_mib": memory_mib}
    traffic = {"requests_per_second": rate, "p95_ms": p95_ms}
    try:
        plan_model(spec_of(traffic, **deploy), manifest_of(weights_mib=100), PRICES)
    except UnmetDemandError as refused:
        if "p95_ms = " in str(refused):
            traffic["p95_ms"] = advised(str(refused), "p95_ms")
            assert plan_model(spec_of(traffic, **deploy), manifest_of(weights_mib=100), PRICES).chosen


def test_a_budget_that_is_too_small() -> None:
    traffic = {"requests_per_second": 50, "p95_ms": 200, "monthly_budget_usd": 5}
    message = refusal(traffic)
    traffic["monthly_budget_usd"] = advised(message, "monthly_budget_usd")
    assert plan_model(spec_of(traffic), manifest_of(), PRICES).chosen.within_budget


def test_a_deploy_table_that_is_too_narrow() -> None:
    message = refusal({"p95_ms": 100}, memory_mib=256)
    assert "[m.deploy] without memory_mib" in message
    message = refusal({"requests_per_second": 100, "p95_ms": 100}, concurrency=2)
    assert "needs" in message or "without concurrency" in message


def test_a_deploy_table_without_what_is_named_is_one_that_can_be_read() -> None:
    deploy = {"memory_mib": 256, "provisioned": 1, "provisioned_max": 2, "streaming": True}
    message = refusal({"p95_ms": 100}, **deploy)
    found = re.search(r"\[m\.deploy\] without ([\w, ]+) \(", message)
    assert found, message
    rest = {key: value for key, value in deploy.items() if key not in found[1].split(", ")}
    assert rest == {"streaming": True}
    assert plan_model(spec_of({"p95_ms": 100}, **rest), manifest_of(), PRICES).chosen


def test_a_stated_concurrency_that_is_the_default_may_be_too_narrow_too() -> None:
    """Without the key the planner reserves what the demand needs."""
    stated = DeploySpec().concurrency
    message = refusal({"requests_per_second": 100, "p95_ms": 100}, concurrency=stated)
    assert "[m.deploy] without concurrency" in message
    assert plan_model(spec_of({"requests_per_second": 100, "p95_ms": 100}), manifest_of(), PRICES).chosen


def test_no_more_is_planned_than_an_account_can_reserve() -> None:
    """Of 1,000 by default 100 have to stay unreserved: CloudFormation refuses a function that leaves fewer."""
    assert plan_model(spec_of({"requests_per_second": 8000}), manifest_of(), PRICES).chosen.concurrency <= 900
    with pytest.raises(UnmetDemandError) as refused:
        plan_model(spec_of({"requests_per_second": 9200}), manifest_of(), PRICES)
    functions = [option for option in refused.value.options if option.target == "lambda"]
    assert all(
        900 < option.concurrency < 1000 for option in functions if not option.provisioned and option.memory_mib > 256
    )
    assert all("an account can reserve 900" in str(option.why_not) for option in functions)


def test_every_triggers_function_counts_and_what_is_advised_is_enough() -> None:
    traffic = {"requests_per_second": 3000, "p95_ms": 500}
    every = ["https", "queue", "bucket"]
    assert plan_model(spec_of(traffic), manifest_of(), PRICES).chosen.concurrency * len(every) > 900
    with pytest.raises(UnmetDemandError) as refused:
        plan_model(spec_of(traffic, triggers=every), manifest_of(), PRICES)
    assert any("in 3 functions; an account can reserve 900" in str(each.why_not) for each in refused.value.options)
    alone = re.findall(r'triggers = \["(\w+)"\] alone', str(refused.value))
    assert alone == every
    for trigger in alone:
        assert plan_model(spec_of(traffic, triggers=[trigger]), manifest_of(), PRICES).chosen
    quota = re.search(r"a quota of ([\d,]+) concurrent executions", str(refused.value))
    assert quota
    enough = Assumptions(reservable_concurrency=int(quota[1].replace(",", "")) - 100)
    assert plan_model(spec_of(traffic, triggers=every), manifest_of(), PRICES, enough).chosen
    less = replace(enough, reservable_concurrency=enough.reservable_concurrency - 400)
    with pytest.raises(UnmetDemandError):
        plan_model(spec_of(traffic, triggers=every), manifest_of(), PRICES, less)


def test_a_stated_concurrency_counts_for_every_trigger() -> None:
    with pytest.raises(UnmetDemandError) as refused:
        plan_model(spec_of(concurrency=301, triggers=["https", "queue", "bucket"]), manifest_of(), PRICES)
    assert "903 environments at once in 3 functions" in str(refused.value.options[0].why_not)
    assert "a quota of 1,003 concurrent executions" in str(refused.value)
    assert plan_model(spec_of(concurrency=300, triggers=["https", "queue", "bucket"]), manifest_of(), PRICES).chosen


def test_nothing_measured_at_all() -> None:
    with pytest.raises(UnmetDemandError, match="no measured latency"):
        plan_model(spec_of(architecture="arm64", target="lambda"), manifest_of(), PRICES)


@pytest.mark.parametrize(
    ("instance_type", "weights_mib", "why"),
    [
        (
            "ml.g6.xlrage",
            20,
            "instance_type: ml.g6.xlrage is not in the price table; expected one of ml.g4dn.xlarge, ml.g6.xlarge, ",
        ),
        ("ml.p4d.24xlarge", 20, "instance_type: ml.p4d.24xlarge is not in the price table; expected one of "),
        ("ml.g5.xlarge", 20, "instance_type: nothing is known of the speed of its card, A10G; expected one of "),
        ("ml.c5.large", 20, "instance_type: ml.c5.large has no GPU; expected one of "),
        ("ml.g4dn.xlarge", 5000, "instance_type: 16-bit weights of 9.8 GiB take more than half of its card, 16 GiB; "),
        ("auto", 20000, "16-bit weights of 39.1 GiB take more than half of any card that the planner knows, 48 GiB"),
    ],
)
def test_an_instance_that_cannot_be_planned_says_why(instance_type: str, weights_mib: float, why: str) -> None:
    built = manifest_of(instruction_sets=("cuda",), weights_mib=weights_mib)
    with pytest.raises(UnmetDemandError) as refused:
        plan_model(spec_of(target="gpu", instance_type=instance_type), built, PRICES)
    message = str(refused.value)
    assert why in message
    assert "no measured latency" not in message
    named = re.findall(r"ml\.[a-z0-9]+\.[a-z0-9]+", message.partition("expected one of ")[2])
    for known in named:
        assert plan_model(spec_of(target="gpu", instance_type=known), built, PRICES).chosen.instance_type == known
    assert bool(named) is (instance_type != "auto")


def test_an_instance_that_cannot_be_planned_is_named_where_functions_are_left() -> None:
    named = {"instance_type": "ml.p4d.24xlarge"}
    plan = plan_model(spec_of(**named), manifest_of(), PRICES)
    assert plan.chosen.target == "lambda"
    assert [note for note in plan.notes if "ml.p4d.24xlarge is not in the price table" in note]
    assert "ml.p4d.24xlarge is not in the price table" in refusal({"p95_ms": 2}, **named)


@pytest.mark.parametrize(
    ("drop", "passed", "exact_on", "advice"),
    [
        (0.0051234, False, X86, 0.00513),
        (0.0051234, True, X86, None),
        (0.0051234, False, X86[:1], None),
        (1.2, False, X86, None),
    ],
    ids=["failed", "passed and slower", "not for every processor", "beyond what a gate takes"],
)
def test_a_gate_that_kept_a_variant_back(
    drop: float, passed: bool, exact_on: tuple[InstructionSet, ...], advice: float | None
) -> None:
    """A drop that is advised lets the variant pass; what passed was not kept back by its gate."""
    shipped = manifest_of().variants[0]
    fp32 = shipped.model_copy(update={"name": "fp32", "precision": "fp32"})
    verdict = shipped.verdict.model_copy(update={"drop": drop, "max_drop": 0.005, "passed": passed})
    int8 = shipped.model_copy(update={"verdict": verdict, "exact_on": exact_on, "latency_ms": {}})
    built = manifest_of().model_copy(update={"variants": (fp32, int8), "chosen": dict.fromkeys(X86, "fp32")})
    with pytest.raises(UnmetDemandError) as refused:
        plan_model(spec_of({"p95_ms": 2}), built, PRICES)
    found = re.search(r"\[m\.gate\] max_drop = ([\d.]+)", str(refused.value))
    assert (float(found[1]) if found else None) == advice
    assert not found or GateSpec(max_drop=float(found[1])).max_drop >= drop
