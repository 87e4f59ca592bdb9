"""What an endpoint's operators see. Which metrics each mode publishes is from AWS's pages on monitoring endpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from aws_cdk.assertions import Template

from infra.app import compose
from infra.planner.prices import PriceTable
from tests.infra.conftest import Templates
from tests.infra.projects import app_of, write_project
from tests.infra.resources import alarms, only, widgets

UNPRICED = """
[costly]
source = "checkpoint"
task = "text-classification"
[costly.deploy]
target = "gpu"
mode = "realtime"
instance_type = "ml.p99.xlarge"
"""
# "Any metric not listed below is not published if the endpoint is enabled for asynchronous inference."
NOT_ASYNCHRONOUS = {"Invocations", "InvocationsPerInstance", "OverheadLatency"}
ONLY_ASYNCHRONOUS = {"InvocationsProcessed", "TimeInBacklog", "ApproximateBacklogSizePerInstance"}


def shown(template: Template) -> dict[str, list[dict[str, Any]]]:
    """SageMaker's metrics in the widgets, by title: each with its namespace, dimensions and drawing."""
    found: dict[str, list[dict[str, Any]]] = {}
    for widget in widgets(template):
        for line in widget.get("metrics", []):
            if len(line) > 1 and "sagemaker" in line[0].lower():
                pairs = dict(zip(line[2:-1:2], line[3:-1:2], strict=True))
                found.setdefault(widget["title"], []).append({"metric": (line[0], line[1]), **pairs, **line[-1]})
    return found


def names(template: Template) -> set[str]:
    return {each["metric"][1] for widget in shown(template).values() for each in widget}


def test_each_mode_shows_the_metrics_that_it_publishes(dev: Templates) -> None:
    now, later = names(dev["gpu-now"]), names(dev["gpu-later"])
    assert {"Invocations", "OverheadLatency"} <= now
    assert not now & ONLY_ASYNCHRONOUS
    assert later >= ONLY_ASYNCHRONOUS
    assert not later & NOT_ASYNCHRONOUS
    both = {"ModelLatency", "Invocation4XXErrors", "Invocation5XXErrors", "GPUUtilization", "GPUMemoryUtilization"}
    assert both <= now & later


@pytest.mark.parametrize("name", ["gpu-now", "gpu-later"])
def test_namespaces_and_dimensions_are_sagemakers(dev: Templates, name: str) -> None:
    of_queue = {"ApproximateBacklogSizePerInstance", "ApproximateBacklogSize", "ApproximateAgeOfOldestRequest"}
    of_instances = {"CPUUtilization", "GPUUtilization", "GPUMemoryUtilization"}
    for each in (each for widget in shown(dev[name]).values() for each in widget):
        namespace, metric = each["metric"]
        assert namespace == ("/aws/sagemaker/Endpoints" if metric in of_instances else "AWS/SageMaker")
        assert each["EndpointName"] == only(dev[name], "AWS::SageMaker::Endpoint")["EndpointName"]
        assert each.get("VariantName") == (None if metric in of_queue else "AllTraffic")


def test_latency_is_shown_by_percentile_in_milliseconds(dev: Templates) -> None:
    [widget] = [each for each in widgets(dev["gpu-now"]) if each["title"] == "Endpoint latency, milliseconds"]
    expressions = {line[0]["label"]: line[0]["expression"] for line in widget["metrics"] if "expression" in line[0]}
    assert expressions.keys() == {
        f"{name} {p}" for name in ("ModelLatency", "OverheadLatency") for p in ("p50", "p95", "p99")
    }
    assert all(expression.endswith(" / 1000") for expression in expressions.values()), "SageMaker keeps microseconds"


@pytest.mark.parametrize(("name", "bounds"), [("gpu-now", "1 to 2"), ("gpu-later", "0 to 2")])
def test_instances_are_counted_by_their_reports_a_minute(dev: Templates, name: str, bounds: str) -> None:
    [widget] = [each for each in widgets(dev[name]) if each["title"].startswith("Instances")]
    assert widget["title"] == f"Instances ({bounds} of ml.g5.xlarge)"
    [expression] = [line[0]["expression"] for line in widget["metrics"] if "expression" in line[0]]
    assert expression == "60 * reports / PERIOD(reports)"
    [reports] = shown(dev[name])[widget["title"]]
    assert (reports["metric"][1], reports["stat"]) == ("CPUUtilization", "SampleCount")


def test_instances_cost_what_the_table_says(dev: Templates) -> None:
    prices = PriceTable.read()
    price = prices.instances["ml.g5.xlarge"].hour
    [widget] = [each for each in widgets(dev["gpu-now"]) if each["title"].startswith("Cost estimate of instances")]
    assert f"${price:g} an hour each ({prices.as_of}" in widget["title"]
    [expression] = [line[0]["expression"] for line in widget["metrics"] if "expression" in line[0]]
    assert expression == f"60 * minutes / PERIOD(minutes) * {price}"
    [minutes] = shown(dev["gpu-now"])[widget["title"]]
    assert (minutes["metric"][1], minutes["stat"], minutes["period"]) == ("CPUUtilization", "SampleCount", 3600)


def test_an_instance_without_a_price_is_named_in_place_of_a_cost(tmp_path: Path) -> None:
    [stack] = compose(app_of(write_project(tmp_path, UNPRICED), "dev"))
    texts = [widget["markdown"] for widget in widgets(Template.from_stack(stack)) if "markdown" in widget]
    assert texts == ["**Cost of instances**: infra/planner/prices.toml has no price of ml.p99.xlarge."]


def test_what_no_function_measures_has_no_widget(dev: Templates) -> None:
    of_functions = {"Latency by stage, milliseconds", "Cold starts"}
    now, later = ({widget["title"] for widget in widgets(dev[name])} for name in ("gpu-now", "gpu-later"))
    assert now >= of_functions, "a real-time endpoint's answers say what they took"
    assert not later & of_functions, "answers that come later do not pass the function"


@pytest.mark.parametrize("name", ["gpu-now", "gpu-later"])
def test_failures_that_roll_an_update_back_are_published_in_either_mode(dev: Templates, name: str) -> None:
    """A share of `Invocations` would never ring on an asynchronous endpoint, which does not publish them."""
    alarm = alarms(dev[name])["more than 1% of the endpoint's answers are a 5xx"]
    assert (alarm["MetricName"], alarm["Statistic"], alarm["Threshold"]) == ("Invocation5XXErrors", "Average", 0.01)
    assert "Metrics" not in alarm


def test_a_cpu_models_dashboard_knows_no_endpoint(dev: Templates) -> None:
    assert names(dev["everything"]) == set()
    assert only(dev["everything"], "AWS::CloudWatch::Dashboard")
