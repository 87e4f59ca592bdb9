"""Alarms of an endpoint: failures and latency, which an update is rolled back for, and requests that nobody takes."""

from __future__ import annotations

from aws_cdk import aws_cloudwatch as cloudwatch

from infra.constructs.alarms import MOST_ERRORS_PERCENT, OLDEST_JOB_SECONDS, ModelAlarms
from infra.constructs.endpoint_metrics import EndpointMetrics
from infra.sizing import EndpointSize
from layers.catalogue import TrafficSpec

MICROSECONDS = 1000
# An asynchronous endpoint starts an instance first, which takes minutes; after a quarter of an hour it is stuck.
STUCK_MINUTES = 15


def endpoint_alarms(
    alarms: ModelAlarms, metrics: EndpointMetrics, size: EndpointSize, traffic: TrafficSpec
) -> list[cloudwatch.Alarm]:
    """Adds the endpoint's alarms; returns those that an update must heed."""
    # The average of a metric that is 0 or 1 for each request: a count of requests is published in one mode alone.
    failures = metrics.of_requests("Invocation5XXErrors", "Average")
    heeded = [
        alarms.above(
            "EndpointFailures",
            failures,
            MOST_ERRORS_PERCENT / 100,
            "more than 1% of the endpoint's answers are a 5xx",
        ),
    ]
    # The default of p95_ms is for callers who wait; a stated one is broken wherever the container alone takes longer.
    if size.mode == "realtime" or "p95_ms" in traffic.model_fields_set:
        latency, limit = metrics.of_requests("ModelLatency", "p95"), MICROSECONDS * traffic.p95_ms
        heeded.append(alarms.above("EndpointLatency", latency, limit, "the endpoint's p95 is above the model's p95_ms"))
    if size.mode == "asynchronous":
        stuck = metrics.of_queue("HasBacklogWithoutCapacity", "Minimum")
        alarms.above("EndpointStuck", stuck, 0, "requests wait and no instance starts", minutes=STUCK_MINUTES)
        age = metrics.of_queue("ApproximateAgeOfOldestRequest", "Maximum")
        alarms.above("EndpointAge", age, OLDEST_JOB_SECONDS, "the oldest request waits for more than 15 minutes")
    return heeded
