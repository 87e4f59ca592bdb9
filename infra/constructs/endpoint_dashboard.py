"""An endpoint's part of a model's dashboard: requests, latency, backlog, instances, their use, and what they cost."""

from __future__ import annotations

from collections.abc import Iterator

from aws_cdk import aws_cloudwatch as cloudwatch

from infra.constructs.dashboard import HOUR, PERIOD, WIDTH, ModelDashboard
from infra.constructs.endpoint_metrics import EndpointMetrics
from infra.planner.prices import PriceTable
from infra.sizing import EndpointSize

MICROSECONDS = 1000
REALTIME = ("Invocations", "Invocation4XXErrors", "Invocation5XXErrors")
# AWS's page writes InvocationsProcesssed; the metric that arrives has two s (cloud-custodian recorded it).
ASYNCHRONOUS = (
    "InvocationsProcessed",
    "InvocationFailures",
    "ExpiredRequests",
    "Invocation4XXErrors",
    "Invocation5XXErrors",
)


def show_endpoint(dashboard: ModelDashboard, metrics: EndpointMetrics, size: EndpointSize, prices: PriceTable) -> None:
    """Add the endpoint's rows."""
    waits = size.mode == "asynchronous"
    dashboard.add_row(
        "Endpoint requests",
        [metrics.of_requests(name, "Sum", period=PERIOD, label=name) for name in (ASYNCHRONOUS if waits else REALTIME)],
        "Endpoint latency, milliseconds",
        [*_latency(metrics, "ModelLatency"), *_latency(metrics, "TimeInBacklog" if waits else "OverheadLatency")],
    )
    if waits:
        dashboard.add_row(
            "Endpoint backlog, requests",
            [
                metrics.of_queue("ApproximateBacklogSizePerInstance", "Average", period=PERIOD, label="of an instance"),
                metrics.of_queue("ApproximateBacklogSize", "Average", period=PERIOD, label="of all"),
            ],
            "Age of the oldest request, seconds",
            [metrics.of_queue("ApproximateAgeOfOldestRequest", "Maximum", period=PERIOD, label="oldest")],
        )
    dashboard.add_row(
        f"Instances ({size.minimum} to {size.maximum} of {size.instance_type})",
        [_instances(metrics)],
        "GPU and its memory in use, percent of a card",
        [
            metrics.of_instances(name, statistic, period=PERIOD, label=f"{name} {statistic}")
            for name in ("GPUUtilization", "GPUMemoryUtilization")
            for statistic in ("Average", "Maximum")
        ],
    )
    dashboard.dashboard.add_widgets(_cost(metrics, size, prices))


def _latency(metrics: EndpointMetrics, name: str) -> Iterator[cloudwatch.MathExpression]:
    for percentile in ("p50", "p95", "p99"):
        key = f"{name[0].lower()}{name[1:]}{percentile}"
        yield cloudwatch.MathExpression(
            expression=f"{key} / {MICROSECONDS}",
            using_metrics={key: metrics.of_requests(name, percentile, period=PERIOD)},
            period=PERIOD,
            label=f"{name} {percentile}",
        )


def _instances(metrics: EndpointMetrics) -> cloudwatch.MathExpression:
    """CloudWatch has no count of instances: it is how many reports there are a minute, as AWS's own advice counts."""
    return cloudwatch.MathExpression(
        expression="60 * reports / PERIOD(reports)",
        using_metrics={"reports": metrics.of_instances("CPUUtilization", "SampleCount", period=PERIOD)},
        period=PERIOD,
        label="instances",
    )


def _cost(metrics: EndpointMetrics, size: EndpointSize, prices: PriceTable) -> cloudwatch.IWidget:
    """Reports of an hour are minutes of instances; each costs a sixtieth of the hourly price."""
    price = prices.instances.get(size.instance_type)
    if price is None:
        unknown = f"**Cost of instances**: infra/planner/prices.toml has no price of {size.instance_type}."
        return cloudwatch.TextWidget(markdown=unknown, width=2 * WIDTH, height=1)
    cost = cloudwatch.MathExpression(
        expression=f"60 * minutes / PERIOD(minutes) * {price.hour}",
        using_metrics={"minutes": metrics.of_instances("CPUUtilization", "SampleCount", period=HOUR)},
        period=HOUR,
        label="US dollars an hour",
    )
    title = f"Cost estimate of instances, at ${price.hour:g} an hour each ({prices.as_of} in {prices.region})"
    return cloudwatch.GraphWidget(title=title, left=[cost], width=2 * WIDTH)
