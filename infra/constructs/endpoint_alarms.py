"""Alarms of an endpoint: failures and latency, which an update is rolled back for, and requests that nobody takes."""

from __future__ import annotations

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch

from infra.constructs.alarms import MOST_ERRORS_PERCENT, OLDEST_JOB_SECONDS, ModelAlarms
from infra.sizing import EndpointSize

NAMESPACE = "AWS/SageMaker"
MINUTE = Duration.minutes(1)
MICROSECONDS = 1000
# An asynchronous endpoint starts an instance first, which takes minutes; after a quarter of an hour it is stuck.
STUCK_MINUTES = 15


def endpoint_metric(name: str, endpoint: str, variant: str | None, statistic: str) -> cloudwatch.Metric:
    """One of SageMaker's metrics; those of the backlog know no variant."""
    dimensions = {"EndpointName": endpoint, **({"VariantName": variant} if variant else {})}
    return cloudwatch.Metric(
        namespace=NAMESPACE, metric_name=name, dimensions_map=dimensions, statistic=statistic, period=MINUTE
    )


def endpoint_alarms(
    alarms: ModelAlarms, endpoint: str, variant: str, size: EndpointSize, p95_ms: float
) -> list[cloudwatch.Alarm]:
    """Adds the endpoint's alarms; returns those that an update must heed."""
    failures = endpoint_metric("Invocation5XXErrors", endpoint, variant, "Sum")
    requests = endpoint_metric("Invocations", endpoint, variant, "Sum")
    rate = cloudwatch.MathExpression(
        expression="100 * failures / MAX([failures, requests])",
        using_metrics={"failures": failures, "requests": requests},
        label="5xx, percent",
        period=MINUTE,
    )
    latency = endpoint_metric("ModelLatency", endpoint, variant, "p95")
    heeded = [
        alarms.above("EndpointFailures", rate, MOST_ERRORS_PERCENT, "more than 1% of the endpoint's answers are a 5xx"),
        alarms.above(
            "EndpointLatency", latency, MICROSECONDS * p95_ms, "the endpoint's p95 is above the model's p95_ms"
        ),
    ]
    if size.mode == "asynchronous":
        stuck = endpoint_metric("HasBacklogWithoutCapacity", endpoint, None, "Minimum")
        alarms.above("EndpointStuck", stuck, 0, "requests wait and no instance starts", minutes=STUCK_MINUTES)
        age = endpoint_metric("ApproximateAgeOfOldestRequest", endpoint, None, "Maximum")
        alarms.above("EndpointAge", age, OLDEST_JOB_SECONDS, "the oldest request waits for more than 15 minutes")
    return heeded
