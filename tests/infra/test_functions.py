"""A model's functions: sized, bounded, traced, logged, versioned, warm where asked, and allowed little."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from aws_cdk.assertions import Match, Template

from infra.app import compose
from tests.infra.conftest import Templates
from tests.infra.projects import app_of, write_project
from tests.infra.resources import model_functions, of_type, only, statements

COMMANDS = {
    "functions.https.handler.handler": 60,
    "functions.queue.handler.handler": 120,
    "functions.bucket.handler.handler": 900,
}


def test_each_trigger_has_an_image_function_with_its_command_and_timeout(dev: Templates) -> None:
    functions = model_functions(dev["everything"]).values()
    assert {each["ImageConfig"]["Command"][0]: each["Timeout"] for each in functions} == COMMANDS
    assert len({str(each["Code"]["ImageUri"]) for each in functions}) == 1, "one image, several commands"


def test_what_the_table_says_is_what_a_function_gets(prod: Templates) -> None:
    for function in model_functions(prod["everything"]).values():
        assert (function["MemorySize"], function["Architectures"]) == (3538, ["x86_64"])
        assert function["ReservedConcurrentExecutions"] == 20
        assert function["TracingConfig"] == {"Mode": "Active"}
        assert function["Environment"]["Variables"]["POWERTOOLS_SERVICE_NAME"] == "prod-everything"


@pytest.mark.parametrize("name", ["everything", "plain-v1.5", "open", "batches", "small-models"])
def test_every_function_of_a_model_has_reserved_concurrency_and_its_own_log(dev: Templates, name: str) -> None:
    functions = model_functions(dev[name])
    groups = of_type(dev[name], "AWS::Logs::LogGroup")
    for function in functions.values():
        assert function["ReservedConcurrentExecutions"] >= 1
        assert groups[function["LoggingConfig"]["LogGroup"]["Ref"]]["Properties"]["RetentionInDays"] == 7


def test_kept_answers_are_the_https_functions_alone(dev: Templates) -> None:
    """Queue and bucket ask the model itself: for them the table would be a permission without a use."""
    template = dev["everything"]
    variable = "HUNDREDFOLD_RESPONSE_CACHE_TABLE"
    knowing = [name for name, each in model_functions(template).items() if variable in each["Environment"]["Variables"]]
    assert [name[:5] for name in knowing] == ["Https"]
    [responses] = [name for name in of_type(template, "AWS::DynamoDB::Table") if "Responses" in name]
    assert len([each for each in statements(template) if responses in str(each["Resource"])]) == 1


def test_a_plan_sizes_what_the_table_leaves_open(dev: Templates) -> None:
    [function] = model_functions(dev["plain-v1.5"]).values()
    assert 128 <= function["MemorySize"] <= 10240
    assert function["ReservedConcurrentExecutions"] == 10


def test_callers_use_a_version_by_the_alias_live(dev: Templates) -> None:
    aliases = of_type(dev["everything"], "AWS::Lambda::Alias").values()
    assert [alias["Properties"]["Name"] for alias in aliases] == ["live"] * 3
    assert all("Version" in str(alias["Properties"]["FunctionVersion"]) for alias in aliases)


def test_warm_environments_follow_their_use_and_the_schedule(dev: Templates) -> None:
    template = dev["everything"]
    target = only(template, "AWS::ApplicationAutoScaling::ScalableTarget")
    assert (target["MinCapacity"], target["MaxCapacity"]) == (2, 8)
    assert target["ScalableDimension"] == "lambda:function:ProvisionedConcurrency"
    [scheduled] = target["ScheduledActions"]
    assert scheduled["Schedule"] == "cron(0 8 ? * MON-FRI *)"
    assert scheduled["ScalableTargetAction"] == {"MinCapacity": 4, "MaxCapacity": 8}
    tracking = only(template, "AWS::ApplicationAutoScaling::ScalingPolicy")["TargetTrackingScalingPolicyConfiguration"]
    assert tracking["TargetValue"] == 0.7
    assert tracking["PredefinedMetricSpecification"] == {
        "PredefinedMetricType": "LambdaProvisionedConcurrencyUtilization"
    }


def test_environments_are_warm_before_anything_scales(dev: Templates) -> None:
    """Utilization is published only where there is provisioned concurrency: without a first one, none would ever be."""
    aliases = of_type(dev["everything"], "AWS::Lambda::Alias")
    warm = {name: each["Properties"].get("ProvisionedConcurrencyConfig") for name, each in aliases.items()}
    [https] = [name for name in warm if name.startswith("Https")]
    assert warm.pop(https) == {"ProvisionedConcurrentExecutions": 2}
    assert set(warm.values()) == {None}


def test_nothing_is_kept_warm_unasked(dev: Templates) -> None:
    for alias in of_type(dev["batches"], "AWS::Lambda::Alias").values():
        assert "ProvisionedConcurrencyConfig" not in alias["Properties"]
    dev["batches"].resource_count_is("AWS::ApplicationAutoScaling::ScalableTarget", 0)


WARM = """
[warm]
source = "checkpoint"
task = "text-classification"
[warm.deploy]
triggers = {triggers}
concurrency = 3
provisioned = 2
{target}
"""


@pytest.mark.parametrize(
    "target",
    ['target = "lambda"\nmemory_mib = 1769', 'target = "gpu"\nmode = "realtime"\ninstance_type = "ml.g6.xlarge"'],
    ids=["lambda", "gpu"],
)
@pytest.mark.parametrize(
    ("triggers", "warm"), [(["queue"], "Queue"), (["bucket", "queue"], "Queue"), (["bucket"], "Bucket")]
)
def test_without_https_the_function_that_events_reach_is_kept_warm(
    tmp_path: Path, target: str, triggers: list[str], warm: str
) -> None:
    """And not the one that the golden check alone asks, which has room for one."""
    catalogue = WARM.format(target=target, triggers=triggers)
    [stack] = compose(app_of(write_project(tmp_path, catalogue), "dev"))
    template = Template.from_stack(stack)
    aliases = of_type(template, "AWS::Lambda::Alias")
    kept = {name: each["Properties"].get("ProvisionedConcurrencyConfig") for name, each in aliases.items()}
    [live] = [name for name in kept if name.startswith(f"{warm}Live")]
    assert kept.pop(live) == {"ProvisionedConcurrentExecutions": 2}
    assert set(kept.values()) <= {None}
    target_of = only(
        template,
        "AWS::ApplicationAutoScaling::ScalableTarget",
        ScalableDimension="lambda:function:ProvisionedConcurrency",
    )
    assert warm in str(target_of["ResourceId"])
    mappings = of_type(template, "AWS::Lambda::EventSourceMapping").values()
    assert any(live in str(each["Properties"]["FunctionName"]) for each in mappings)


def test_snapstart_is_for_published_versions_and_only_when_asked(dev: Templates) -> None:
    assert {str(each.get("SnapStart")) for each in model_functions(dev["batches"]).values()} == {
        str({"ApplyOn": "PublishedVersions"})
    }
    assert all("SnapStart" not in each for each in model_functions(dev["everything"]).values())


def test_tables_are_there_when_configured_and_items_expire(dev: Templates) -> None:
    tables = of_type(dev["everything"], "AWS::DynamoDB::Table").values()
    assert len(tables) == 2
    for table in tables:
        assert table["Properties"]["TimeToLiveSpecification"] == {"AttributeName": "expiration", "Enabled": True}
        assert table["Properties"]["KeySchema"] == [{"AttributeName": "id", "KeyType": "HASH"}]
        assert table["Properties"]["BillingMode"] == "PAY_PER_REQUEST"
    dev["batches"].resource_count_is("AWS::DynamoDB::Table", 0)


def test_no_role_may_do_everything_and_wildcards_are_few(prod: Templates) -> None:
    """On `*` stands only what takes no resource: X-Ray's two actions."""
    allowed = statements(prod["everything"])
    on_everything = {action for each in allowed if each["Resource"] == "*" for action in _listed(each["Action"])}
    assert on_everything == {"xray:PutTraceSegments", "xray:PutTelemetryRecords"}
    actions = {action for each in allowed for action in _listed(each["Action"])}
    assert not [action for action in actions if re.fullmatch(r"\*|\w+:\*", action)]


def test_functions_have_no_managed_policies(prod: Templates) -> None:
    for role in of_type(prod["everything"], "AWS::IAM::Role").values():
        if "lambda.amazonaws.com" in str(role["Properties"]["AssumeRolePolicyDocument"]):
            assert "ManagedPolicyArns" not in role["Properties"]


def test_the_https_function_reaches_no_bucket(dev: Templates) -> None:
    policies = of_type(dev["everything"], "AWS::IAM::Policy")
    [https] = [policy for name, policy in policies.items() if name.startswith("HttpsLog")]
    assert "s3:" not in str(https)
    dev["everything"].has_resource_properties(
        "AWS::IAM::Policy",
        {
            "PolicyDocument": {
                "Statement": Match.array_with([Match.object_like({"Action": Match.array_with(["s3:PutObject"])})])
            }
        },
    )


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
