"""One dashboard a model: traffic, latency by stage, cold starts, failures, concurrency, queues, and what it costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aws_cdk import Aws, CfnOutput, Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from infra.constructs.alarms import url_metric
from infra.constructs.function import ModelFunction
from infra.constructs.queue import JobQueue
from infra.own_metrics import COLD_START, NAMESPACE, STAGES
from infra.planner.prices import PriceTable
from infra.sizing import FunctionSize
from layers.catalogue import Trigger

PERIOD = Duration.minutes(5)
HOUR = Duration.hours(1)
WIDTH = 12
MIB_IN_GB = 1024


class ModelDashboard(Construct):
    """Widgets are added by what a deployment has; the URL of the page is an output of the stack."""

    def __init__(self, scope: Construct, construct_id: str, *, service: str) -> None:
        super().__init__(scope, construct_id)
        self._service = service
        self.dashboard = cloudwatch.Dashboard(
            self,
            "Dashboard",
            default_interval=Duration.hours(3),
            # What is counted by the hour stays so, whatever range of time is looked at.
            period_override=cloudwatch.PeriodOverride.INHERIT,
        )
        page = f"https://console.aws.amazon.com/cloudwatch/home?region={Aws.REGION}#dashboards:name="
        CfnOutput(self, "Page", value=page + self.dashboard.dashboard_name).override_logical_id("DashboardUrl")

    def show_alarms(self, alarms: Sequence[cloudwatch.Alarm]) -> None:
        """Which alarms ring."""
        # Known by name, from which CDK writes the ARN: moto's CloudFormation, which rehearses deployments, has no ARNs
        # of alarms.
        shown = [
            cloudwatch.Alarm.from_alarm_name(self, f"Shown{number}", alarm.alarm_name)
            for number, alarm in enumerate(alarms)
        ]
        self.dashboard.add_widgets(cloudwatch.AlarmStatusWidget(alarms=shown, title="Alarms", width=2 * WIDTH))

    def show_functions(self, functions: Mapping[Trigger, ModelFunction], size: FunctionSize) -> None:
        """Traffic, errors, throttles, concurrency and duration of every trigger's function."""
        lambdas = {name: each.function for name, each in functions.items()}
        self.add_row(
            "Invocations",
            [each.metric_invocations(period=PERIOD, label=name) for name, each in lambdas.items()],
            "Errors and throttles",
            [each.metric_errors(period=PERIOD, label=f"{name} errors") for name, each in lambdas.items()]
            + [each.metric_throttles(period=PERIOD, label=f"{name} throttles") for name, each in lambdas.items()],
        )
        self.add_row(
            "Duration, milliseconds",
            [
                each.metric_duration(period=PERIOD, statistic=statistic, label=f"{name} {statistic}")
                for name, each in lambdas.items()
                for statistic in ("p50", "p95", "p99")
            ],
            f"Concurrency ({size.concurrency} reserved for each function)",
            [
                each.metric("ConcurrentExecutions", period=PERIOD, statistic="Maximum", label=name)
                for name, each in lambdas.items()
            ],
        )

    def show_stages(self, triggers: Sequence[Trigger]) -> None:
        """Latency percentiles of each stage of an answer, and cold starts."""
        self.add_row(
            "Latency by stage, milliseconds",
            [
                self._own(stage, trigger, statistic)
                for trigger in triggers
                for stage in STAGES[trigger]
                for statistic in ("p50", "p99")
            ],
            "Cold starts",
            [self._own(COLD_START, trigger, "Sum") for trigger in triggers],
        )

    def show_url(self, function: ModelFunction) -> None:
        """Answers by kind of status, and latency as callers see it."""
        self.add_row(
            "HTTPS answers",
            [url_metric(function, name) for name in ("UrlRequestCount", "Url4xxCount", "Url5xxCount")],
            "HTTPS latency, milliseconds",
            [url_metric(function, "UrlRequestLatency", statistic) for statistic in ("p50", "p95", "p99")],
        )

    def show_queue(self, name: str, jobs: JobQueue) -> None:
        """Depth, age, and what was given up."""
        queue, dead = jobs.queue, jobs.dead_letters
        self.add_row(
            f"{name}: jobs waiting, in work and given up",
            [
                queue.metric_approximate_number_of_messages_visible(period=PERIOD, label="waiting"),
                queue.metric_approximate_number_of_messages_not_visible(period=PERIOD, label="in work"),
                dead.metric_approximate_number_of_messages_visible(period=PERIOD, label="given up"),
            ],
            f"{name}: age of the oldest job, seconds",
            [queue.metric_approximate_age_of_oldest_message(period=PERIOD, label="oldest")],
        )

    def show_cost(self, functions: Mapping[Trigger, ModelFunction], size: FunctionSize, prices: PriceTable) -> None:
        """Requests and memory times duration at list prices, an hour at a time; no free tier, nothing else."""
        per_ms = prices.functions.of(size.architecture).gb_second * size.memory_mib / MIB_IN_GB / 1000
        per_request = prices.functions.million_requests / 1_000_000
        using: dict[str, cloudwatch.IMetric] = {}
        terms = []
        for number, each in enumerate(functions.values()):
            using[f"i{number}"] = each.function.metric_invocations(period=HOUR, statistic="Sum")
            using[f"d{number}"] = each.function.metric_duration(period=HOUR, statistic="Sum")
            terms.append(f"i{number} * {per_request:.12f} + d{number} * {per_ms:.15f}")
        cost = cloudwatch.MathExpression(
            expression=" + ".join(terms), using_metrics=using, period=HOUR, label="US dollars an hour"
        )
        self.dashboard.add_widgets(
            cloudwatch.GraphWidget(
                title=f"Cost estimate, at the prices of {prices.as_of} in {prices.region}", left=[cost], width=2 * WIDTH
            )
        )

    def _own(self, name: str, trigger: str, statistic: str) -> cloudwatch.Metric:
        return cloudwatch.Metric(
            namespace=NAMESPACE,
            metric_name=name,
            dimensions_map={"service": self._service, "trigger": trigger},
            period=PERIOD,
            statistic=statistic,
            label=f"{trigger} {name} {statistic}",
        )

    def add_row(
        self,
        title: str,
        metrics: Sequence[cloudwatch.IMetric],
        other: str,
        others: Sequence[cloudwatch.IMetric],
    ) -> None:
        """Two graphs beside each other."""
        self.dashboard.add_widgets(
            cloudwatch.GraphWidget(title=title, left=list(metrics), width=WIDTH),
            cloudwatch.GraphWidget(title=other, left=list(others), width=WIDTH),
        )
