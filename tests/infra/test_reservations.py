"""What all functions of a stage reserve together fits the account, or is refused before anything is deployed."""

from __future__ import annotations

from pathlib import Path

import pytest
from aws_cdk.assertions import Annotations, Match, Template

from infra.app import compose
from infra.reservations import reserved_by
from layers.catalogue import read_catalogue
from tests.infra.conftest import Templates
from tests.infra.projects import app_of, write_project
from tests.infra.resources import of_type

MODEL = """
[{name}]
source = "checkpoint"
task = "text-classification"
[{name}.deploy]
target = "lambda"
memory_mib = 1769
triggers = {triggers}
concurrency = {concurrency}
"""
EVERY = ["https", "queue", "bucket"]


def reserved(template: Template) -> int:
    functions = of_type(template, "AWS::Lambda::Function").values()
    return sum(each["Properties"].get("ReservedConcurrentExecutions", 0) for each in functions)


def refusals(folder: Path, stage: str = "[dev]\n", *models: str) -> dict[str, list[str]]:
    """What the stacks of a catalogue of these models say, by stack."""
    stacks = compose(app_of(write_project(folder, "".join(models), stage), "dev"))
    found = {
        stack.node.id: Annotations.from_stack(stack).find_error("*", Match.string_like_regexp("concurrent executions"))
        for stack in stacks
    }
    return {name: [str(each.entry.data) for each in errors] for name, errors in found.items()}


@pytest.mark.parametrize("name", ["everything", "batches", "small-models", "gpu-now", "gpu-later"])
def test_what_is_counted_is_what_is_reserved(project: Path, dev: Templates, name: str) -> None:
    catalogue = read_catalogue(project / "models.toml")
    deploy = catalogue[name if name in catalogue else "first"].deploy
    assert reserved(dev[name]) == reserved_by(deploy.triggers, deploy.concurrency)


def test_a_model_whose_functions_reserve_more_than_an_account_has_is_refused_alone(tmp_path: Path) -> None:
    large = MODEL.format(name="large", triggers=EVERY, concurrency=301)
    said = refusals(tmp_path, "[dev]\n", large, MODEL.format(name="small", triggers=EVERY, concurrency=300))
    assert said["small"] == []
    [message] = said["large"]
    assert message.startswith("large 903: got 903 concurrent executions reserved by all functions")
    assert "expected at most 900: an account has 1,000 in a region, of which 100 stay unreserved." in message


BOTH = (
    MODEL.format(name="a", triggers=EVERY, concurrency=200),
    MODEL.format(name="b", triggers=["queue"], concurrency=300),
)


def test_models_that_reserve_too_much_together_are_each_refused_and_named(tmp_path: Path) -> None:
    said = refusals(tmp_path, "[dev]\n", *BOTH)
    assert said["a"] == said["b"]
    [message] = said["a"]
    assert message.startswith("a 600, b 301: got 901 concurrent executions")
    for step in ("concurrency", "triggers", "max_concurrency", "account_concurrency"):
        assert step in message.partition("unreserved. ")[2]


@pytest.mark.parametrize("stage", ["max_concurrency = 299", "account_concurrency = 1001"])
def test_what_the_message_advises_is_enough(tmp_path: Path, stage: str) -> None:
    assert refusals(tmp_path, f"[dev]\n{stage}\n", *BOTH) == {"a": [], "b": []}


def test_many_models_are_not_all_named(tmp_path: Path) -> None:
    models = [MODEL.format(name=f"m{number}", triggers=["https"], concurrency=91) for number in range(10)]
    [message] = refusals(tmp_path, "[dev]\n", *models)["m9"]
    assert " and 2 more: got 910 concurrent executions" in message


def test_what_is_not_built_reserves_nothing(tmp_path: Path) -> None:
    unbuilt = MODEL.format(name="unbuilt", triggers=["https"], concurrency=900)
    assert refusals(tmp_path, "[dev]\n", BOTH[0], unbuilt) == {"a": [], "unbuilt": []}


DEMANDING = """
[demanding]
source = "checkpoint"
task = "text-classification"
[demanding.traffic]
requests_per_second = 9500
p95_ms = 2000
[demanding.deploy]
target = "lambda"
{more}
"""


@pytest.mark.parametrize(
    ("stage", "more", "fits"),
    [
        ("[dev]\n", "", False),
        ("[dev]\nmax_concurrency = 10\n", "", True),
        ("[dev]\n", "concurrency = 10", True),
        ("[dev]\nmax_concurrency = 950\n", "", False),
        ("[dev]\naccount_concurrency = 2000\n", "", True),
        ("[dev]\naccount_concurrency = 2000\n", f"triggers = {EVERY}", False),
    ],
)
def test_a_demand_beyond_the_account_is_deployed_where_less_is_reserved(
    tmp_path: Path, stage: str, more: str, fits: bool
) -> None:
    """Fewer environments than a demand needs are a choice of the table or the stage, and the stack warns."""
    [stack] = compose(app_of(write_project(tmp_path, DEMANDING.format(more=more), stage), "dev"))
    errors = Annotations.from_stack(stack).find_error("*", Match.any_value())
    assert bool(errors) is not fits
    if fits:
        assert reserved(Template.from_stack(stack)) in (10, pytest.approx(979, abs=20))
    else:
        assert "an account can reserve" in str(errors[0].entry.data) or "a quota of" in str(errors[0].entry.data)
