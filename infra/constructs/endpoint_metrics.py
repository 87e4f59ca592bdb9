"""SageMaker's metrics of an endpoint, by what they are kept for: a variant's requests, its instances, or its queue.

Names, namespaces and dimensions are those of AWS's pages monitoring-cloudwatch and async-inference-monitor of the
SageMaker guide. An asynchronous endpoint publishes its own metrics in place of Invocations and OverheadLatency.
"""

from __future__ import annotations

from dataclasses import dataclass

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch

REQUESTS, INSTANCES = "AWS/SageMaker", "/aws/sagemaker/Endpoints"
MINUTE = Duration.minutes(1)


@dataclass(frozen=True)
class EndpointMetrics:
    """Metrics of one variant of an endpoint, both by name."""

    endpoint: str
    variant: str

    def of_requests(
        self, name: str, statistic: str, *, period: Duration = MINUTE, label: str | None = None
    ) -> cloudwatch.Metric:
        """What the variant answered. Times are microseconds; each request counts in `Invocation5XXErrors` as 0 or 1."""
        return self._metric(REQUESTS, name, statistic, period, label, {"VariantName": self.variant})

    def of_instances(
        self, name: str, statistic: str, *, period: Duration = MINUTE, label: str | None = None
    ) -> cloudwatch.Metric:
        """What its instances report, each once a minute: so many samples a minute are so many instances."""
        return self._metric(INSTANCES, name, statistic, period, label, {"VariantName": self.variant})

    def of_queue(
        self, name: str, statistic: str, *, period: Duration = MINUTE, label: str | None = None
    ) -> cloudwatch.Metric:
        """What waits for an asynchronous endpoint, which knows no variant."""
        return self._metric(REQUESTS, name, statistic, period, label, {})

    def _metric(
        self, namespace: str, name: str, statistic: str, period: Duration, label: str | None, more: dict[str, str]
    ) -> cloudwatch.Metric:
        return cloudwatch.Metric(
            namespace=namespace,
            metric_name=name,
            dimensions_map={"EndpointName": self.endpoint, **more},
            statistic=statistic,
            period=period,
            label=label,
        )
