"""A new version takes over by CodeDeploy, after it answered the goldens, and goes back when an alarm rings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from aws_cdk.assertions import Annotations, Match, Template

from infra.app import compose
from tests.infra.conftest import Templates
from tests.infra.projects import app_of, write_project
from tests.infra.resources import model_functions, of_type, only

VERSION = "AWS::Lambda::Version"
SWITCHED_OFF = """
[off]
source = "checkpoint"
task = "text-classification"
[off.deploy]
triggers = ["https", "queue"]
concurrency = 0
"""


def test_every_alias_is_moved_by_codedeploy(prod: Templates) -> None:
    template = prod["everything"]
    groups = of_type(template, "AWS::CodeDeploy::DeploymentGroup")
    for alias in of_type(template, "AWS::Lambda::Alias").values():
        assert alias["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]["DeploymentGroupName"]["Ref"] in groups


@pytest.mark.parametrize(
    ("stage", "configuration"),
    [("prod", "CodeDeployDefault.LambdaCanary10Percent5Minutes"), ("dev", "CodeDeployDefault.LambdaAllAtOnce")],
)
def test_the_stage_says_in_which_steps(request: pytest.FixtureRequest, stage: str, configuration: str) -> None:
    templates: Templates = request.getfixturevalue(stage)
    for group in of_type(templates["everything"], "AWS::CodeDeploy::DeploymentGroup").values():
        assert group["Properties"]["DeploymentConfigName"] == configuration


def test_errors_latency_and_failed_answers_roll_back(prod: Templates) -> None:
    template = prod["plain-v1.5"]
    group = only(template, "AWS::CodeDeploy::DeploymentGroup")
    assert group["AutoRollbackConfiguration"] == {
        "Enabled": True,
        "Events": ["DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_REQUEST", "DEPLOYMENT_STOP_ON_ALARM"],
    }
    alarms = of_type(template, "AWS::CloudWatch::Alarm")
    heeded = {
        alarms[each["Name"]["Ref"]]["Properties"]["AlarmDescription"] for each in group["AlarmConfiguration"]["Alarms"]
    }
    assert heeded == {
        "more than 1% of invocations fail",
        "p99 is above 80% of the function's timeout",
        "more than 1% of answers are a 5xx",
    }
    assert group["AlarmConfiguration"]["Enabled"] is True


def checks(template: Template) -> dict[str, Any]:
    return of_type(template, "Custom::GoldenCheck")


@pytest.mark.parametrize("name", ["everything", "plain-v1.5", "batches", "small-models"])
def test_no_alias_moves_before_the_goldens_are_answered(dev: Templates, name: str) -> None:
    [check] = checks(dev[name])
    for alias in of_type(dev[name], "AWS::Lambda::Alias").values():
        # A function that is only asked has an alias that nobody uses.
        if "UpdatePolicy" in alias:
            assert check in alias["DependsOn"]


def test_the_check_asks_the_new_version_and_may_ask_no_other(dev: Templates) -> None:
    template = dev["plain-v1.5"]
    [(name, check)] = checks(template).items()
    version = check["Properties"]["FunctionArn"]["Ref"]
    assert version in of_type(template, "AWS::Lambda::Version")
    assert check["Properties"]["Digests"] == {"plain-v1.5": "digest of plain-v1.5"}
    policy = next(each for each in check["DependsOn"] if each in of_type(template, "AWS::IAM::Policy"))
    document = of_type(template, "AWS::IAM::Policy")[policy]["Properties"]["PolicyDocument"]
    invoking = [each for each in document["Statement"] if each["Action"] == "lambda:InvokeFunction"]
    assert [each["Resource"] for each in invoking] == [{"Ref": version}]
    assert name not in str(invoking)


def test_a_model_without_https_is_asked_by_a_function_of_the_same_image(dev: Templates) -> None:
    template = dev["batches"]
    functions = of_type(template, "AWS::Lambda::Function")
    [check] = checks(template).values()
    version = of_type(template, "AWS::Lambda::Version")[check["Properties"]["FunctionArn"]["Ref"]]
    asked = functions[version["Properties"]["FunctionName"]["Ref"]]["Properties"]
    assert asked["ImageConfig"]["Command"] == ["functions.https.handler.handler"]
    assert asked["ReservedConcurrentExecutions"] == 1


def test_a_group_is_asked_for_each_of_its_models(dev: Templates) -> None:
    [check] = checks(dev["small-models"]).values()
    assert check["Properties"]["Digests"].keys() == {"first", "second"}


def test_the_zip_holds_the_check_and_the_goldens(project: Path) -> None:
    app = app_of(project, "dev")
    compose(app)
    assembly = Path(app.synth().directory)
    files = list(assembly.glob("asset.*/functions/check/goldens.json"))
    goldens = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    golden = {"inputs": "a text", "parameters": {}, "outputs": [[{"label": "a", "score": 0.75}]], "tolerance": 0.05}
    assert {"plain-v1.5": [golden]} in goldens
    assert all(file.with_name("handler.py").is_file() for file in files)


def test_earlier_versions_stay_to_go_back_to_unless_their_snapshots_cost(dev: Templates) -> None:
    """CloudFormation deletes what a version replaced, and rolling back by hand needs it."""
    kept = {each.get("DeletionPolicy", "Delete") for each in of_type(dev["everything"], VERSION).values()}
    snapshots = {each.get("DeletionPolicy", "Delete") for each in of_type(dev["batches"], VERSION).values()}
    assert (kept, snapshots) == ({"Retain"}, {"Delete"})


def test_a_model_that_is_switched_off_answers_nobody_and_is_not_checked(tmp_path: Path) -> None:
    [stack] = compose(app_of(write_project(tmp_path, SWITCHED_OFF), "dev"))
    template = Template.from_stack(stack)
    functions = model_functions(template).values()
    assert {each["ReservedConcurrentExecutions"] for each in functions} == {0}
    assert checks(template) == {}
    said = Match.string_like_regexp("concurrency = 0: no request is answered")
    assert Annotations.from_stack(stack).find_warning("*", said)


def test_the_queue_of_a_model_that_is_switched_off_is_not_read(tmp_path: Path) -> None:
    """Its mapping would read on while the function is throttled, and records would be given up after five receives."""
    [stack] = compose(app_of(write_project(tmp_path, SWITCHED_OFF), "dev"))
    assert only(Template.from_stack(stack), "AWS::Lambda::EventSourceMapping")["Enabled"] is False


def test_a_model_that_is_kept_warm_is_switched_off_by_the_one_key(tmp_path: Path) -> None:
    kept_warm = SWITCHED_OFF + "provisioned = 2\nprovisioned_max = 4\n"
    [stack] = compose(app_of(write_project(tmp_path, kept_warm), "dev"))
    template = Template.from_stack(stack)
    assert {each["ReservedConcurrentExecutions"] for each in model_functions(template).values()} == {0}
    template.resource_count_is("AWS::ApplicationAutoScaling::ScalableTarget", 0)


def test_a_queue_is_read_again_when_its_model_is_switched_on(dev: Templates) -> None:
    """An update that does not say so would leave a mapping switched off."""
    mappings = of_type(dev["everything"], "AWS::Lambda::EventSourceMapping").values()
    assert {each["Properties"].get("Enabled") for each in mappings} == {True}
