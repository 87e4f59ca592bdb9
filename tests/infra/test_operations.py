"""What a model's operators see and what wakes them: alarms, the topic, the dashboard, the budget, the tags."""

from __future__ import annotations

import pytest
from aws_cdk.assertions import Template

from tests.infra.conftest import Templates
from tests.infra.resources import alarms, of_type, only, widgets


def test_every_alarm_rings_the_topic_and_silence_is_no_fault(prod: Templates) -> None:
    [topic] = of_type(prod["everything"], "AWS::SNS::Topic")
    for alarm in alarms(prod["everything"]).values():
        assert alarm["AlarmActions"] == [{"Ref": topic}]
        assert alarm["TreatMissingData"] == "notBreaching"


@pytest.mark.parametrize(
    ("description", "threshold"),
    [
        ("more than 1% of invocations fail", 1),
        ("requests are throttled", 0),
        ("p99 is above 80% of the function's timeout", 0.8 * 60_000),
        ("more than 80% of the reserved concurrency is in use", 8),
        ("more than 1% of answers are a 5xx", 1),
    ],
)
def test_thresholds_are_those_of_aws(dev: Templates, description: str, threshold: float) -> None:
    assert alarms(dev["plain-v1.5"])[description]["Threshold"] == threshold


def test_cloudwatch_and_budgets_of_this_account_may_ring_and_only_over_tls(prod: Templates) -> None:
    statements = only(prod["plain-v1.5"], "AWS::SNS::TopicPolicy")["PolicyDocument"]["Statement"]
    [allowed] = [each for each in statements if each["Effect"] == "Allow"]
    assert sorted(allowed["Principal"]["Service"]) == ["budgets.amazonaws.com", "cloudwatch.amazonaws.com"]
    assert allowed["Condition"] == {"StringEquals": {"aws:SourceAccount": "123456789012"}}
    [denied] = [each for each in statements if each["Effect"] == "Deny"]
    assert denied["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_alarms_are_mailed_to_whom_the_stage_names(prod: Templates) -> None:
    subscription = only(prod["plain-v1.5"], "AWS::SNS::Subscription")
    assert (subscription["Protocol"], subscription["Endpoint"]) == ("email", "oncall@example.org")


def test_the_budget_counts_the_deployments_tag_and_warns_twice(prod: Templates) -> None:
    budget = only(prod["plain-v1.5"], "AWS::Budgets::Budget")
    assert budget["Budget"]["BudgetLimit"] == {"Amount": 500, "Unit": "USD"}
    assert budget["Budget"]["CostFilters"] == {"TagKeyValue": ["user:hundredfold-deployment$prod/plain-v1.5"]}
    kinds = [each["Notification"]["NotificationType"] for each in budget["NotificationsWithSubscribers"]]
    assert kinds == ["FORECASTED", "ACTUAL"]


@pytest.mark.parametrize("name", ["everything", "gpu-now"])
def test_stages_of_one_account_have_metrics_and_dashboards_of_their_own(
    dev: Templates, prod: Templates, name: str
) -> None:
    """Their functions write into one namespace, where the service alone tells them apart."""
    assert (services(dev[name]), services(prod[name])) == ({name}, {f"prod-{name}"})
    for templates, service in ((dev, name), (prod, f"prod-{name}")):
        shown = [metric for widget in widgets(templates[name]) for metric in widget.get("metrics", [])]
        assert {metric[3] for metric in shown if metric[0] == "Hundredfold"} == {service}


def services(template: Template) -> set[str]:
    """As whom its functions, and the endpoint's container, write logs and metrics."""
    functions = of_type(template, "AWS::Lambda::Function").values()
    found = [each["Properties"].get("Environment", {}).get("Variables", {}) for each in functions]
    models = of_type(template, "AWS::SageMaker::Model").values()
    found += [each["Properties"]["PrimaryContainer"]["Environment"] for each in models]
    return {each["POWERTOOLS_SERVICE_NAME"] for each in found if "POWERTOOLS_SERVICE_NAME" in each}


def test_everything_that_takes_tags_carries_model_stage_and_the_stages_own(prod: Templates) -> None:
    for kind in ("AWS::Lambda::Function", "AWS::SQS::Queue", "AWS::S3::Bucket"):
        for resource in of_type(prod["everything"], kind).values():
            tags = {tag["Key"]: tag["Value"] for tag in resource["Properties"]["Tags"]}
            expected = {
                "hundredfold-model": "everything",
                "hundredfold-stage": "prod",
                "hundredfold-deployment": "prod/everything",
                "team": "search",
            }
            assert expected.items() <= tags.items()


def test_the_dashboard_shows_what_an_operator_asks(dev: Templates) -> None:
    titles = " / ".join(str(widget["title"]) for widget in widgets(dev["everything"]))
    for wanted in (
        "Invocations",
        "Errors and throttles",
        "Duration",
        "Concurrency",
        "Latency by stage",
        "Cold starts",
        "HTTPS answers",
        "HTTPS latency",
        "queue: jobs waiting, in work and given up",
        "bucket: age of the oldest job",
        "Cost estimate",
        "Alarms",
    ):
        assert wanted in titles


def test_the_cost_estimate_is_priced_from_the_table(dev: Templates) -> None:
    [cost] = [widget for widget in widgets(dev["plain-v1.5"]) if str(widget["title"]).startswith("Cost estimate")]
    [expression] = [each[0]["expression"] for each in cost["metrics"] if "expression" in each[0]]
    function = only(dev["plain-v1.5"], "AWS::Lambda::Function", PackageType="Image")
    per_ms = 0.0000166667 * function["MemorySize"] / 1024 / 1000
    assert expression == f"i0 * {0.2 / 1e6:.12f} + d0 * {per_ms:.15f}"


def test_one_dashboard_a_model(dev: Templates) -> None:
    for name in ("everything", "plain-v1.5", "small-models"):
        dev[name].resource_count_is("AWS::CloudWatch::Dashboard", 1)


def test_graphs_keep_their_periods_so_that_an_hours_cost_is_an_hours(dev: Templates) -> None:
    for name in ("plain-v1.5", "gpu-now"):
        body = only(dev[name], "AWS::CloudWatch::Dashboard")["DashboardBody"]["Fn::Join"][1]
        assert '"periodOverride":"inherit"' in body[0]
