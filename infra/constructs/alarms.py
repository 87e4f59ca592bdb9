"""What wakes somebody up: alarms of a model's functions and queues, and the topic that they ring.

Thresholds are those that AWS publishes for functions in production: errors above 1%, any throttle, p99 above 80% of the
timeout, concurrency above 80% of what is reserved, anything in a dead-letter queue.
"""

from __future__ import annotations

from aws_cdk import CfnOutput, Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from infra.acknowledgements import acknowledge
from infra.constructs.function import ModelFunction
from infra.constructs.queue import JobQueue
from infra.sizing import FunctionSize
from infra.stages import Stage

MOST_ERRORS_PERCENT = 1
NEAR_LIMIT = 0.8
# A job that waits longer than this has no reader, or too few.
OLDEST_JOB_SECONDS = 15 * 60
MINUTE = Duration.minutes(1)


class AlarmTopic(Construct):
    """The topic, and who is mailed. CloudWatch and AWS Budgets of this account may publish to it."""

    def __init__(self, scope: Construct, construct_id: str, *, stage: Stage) -> None:
        super().__init__(scope, construct_id)
        self.topic = sns.Topic(self, "Topic", enforce_ssl=True)
        for service in ("cloudwatch.amazonaws.com", "budgets.amazonaws.com"):
            self.topic.grant_publish(
                iam.ServicePrincipal(
                    service, conditions={"StringEquals": {"aws:SourceAccount": self.topic.stack.account}}
                )
            )
        for email in stage.alarm_emails:
            self.topic.add_subscription(subscriptions.EmailSubscription(email))
        CfnOutput(self, "Arn", value=self.topic.topic_arn).override_logical_id("AlarmTopicArn")
        acknowledge(
            self.topic,
            "Mail has no redrive; an alarm also shows on the dashboard until it is over.",
            "Serverless-SNSRedrivePolicy",
        )


class ModelAlarms(Construct):
    """Every alarm of a deployment. `all` lists them; the methods return those that a rollout must heed."""

    def __init__(self, scope: Construct, construct_id: str, *, topic: sns.Topic) -> None:
        super().__init__(scope, construct_id)
        self.all: list[cloudwatch.Alarm] = []
        self._action = actions.SnsAction(topic)

    def watch_function(self, name: str, function: ModelFunction, size: FunctionSize) -> list[cloudwatch.Alarm]:
        """Errors and latency of `live`, which a rollout heeds; throttles and concurrency, which it does not."""
        live = function.live
        errors = cloudwatch.MathExpression(
            expression="100 * errors / MAX([errors, invocations])",
            using_metrics={
                "errors": live.metric_errors(period=MINUTE),
                "invocations": live.metric_invocations(period=MINUTE),
            },
            label="errors, percent",
            period=MINUTE,
        )
        limit_ms = NEAR_LIMIT * function.timeout.to_milliseconds()
        heeded = [
            self.above(f"{name}Errors", errors, MOST_ERRORS_PERCENT, "more than 1% of invocations fail"),
            self.above(
                f"{name}Latency",
                live.metric_duration(period=MINUTE, statistic="p99"),
                limit_ms,
                "p99 is above 80% of the function's timeout",
            ),
        ]
        self.above(f"{name}Throttles", function.function.metric_throttles(period=MINUTE), 0, "requests are throttled")
        # A single environment is all in use whenever it answers; that it is too few is what the throttles say.
        if size.concurrency > 1:
            self.above(
                f"{name}Concurrency",
                function.function.metric("ConcurrentExecutions", period=MINUTE, statistic="Maximum"),
                NEAR_LIMIT * size.concurrency,
                "more than 80% of the reserved concurrency is in use",
            )
        return heeded

    def watch_url(self, function: ModelFunction) -> cloudwatch.Alarm:
        """Answers of ours that failed: the function returned, and said 5xx."""
        failures = url_metric(function, "Url5xxCount")
        requests = url_metric(function, "UrlRequestCount")
        rate = cloudwatch.MathExpression(
            expression="100 * failures / MAX([failures, requests])",
            using_metrics={"failures": failures, "requests": requests},
            label="5xx, percent",
            period=MINUTE,
        )
        return self.above("UrlFailures", rate, MOST_ERRORS_PERCENT, "more than 1% of answers are a 5xx")

    def watch_queue(self, name: str, jobs: JobQueue) -> None:
        """Jobs that were given up, and jobs that wait too long."""
        dead = jobs.dead_letters.metric_approximate_number_of_messages_visible(period=MINUTE, statistic="Maximum")
        self.above(f"{name}DeadLetters", dead, 0, "records were given up: read the dead-letter queue", minutes=1)
        age = jobs.queue.metric_approximate_age_of_oldest_message(period=MINUTE, statistic="Maximum")
        self.above(f"{name}Age", age, OLDEST_JOB_SECONDS, "the oldest job waits for more than 15 minutes")

    def above(
        self, name: str, metric: cloudwatch.IMetric, threshold: float, description: str, *, minutes: int = 3
    ) -> cloudwatch.Alarm:
        """An alarm when the metric is above its threshold in each of so many minutes; silence is no fault."""
        alarm = cloudwatch.Alarm(
            self,
            name,
            metric=metric,
            threshold=threshold,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
            evaluation_periods=minutes,
            datapoints_to_alarm=minutes,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
            alarm_description=description,
        )
        alarm.add_alarm_action(self._action)
        alarm.add_ok_action(self._action)
        self.all.append(alarm)
        return alarm


def url_metric(function: ModelFunction, name: str, statistic: str = "Sum") -> cloudwatch.Metric:
    """One of the metrics that Lambda keeps for a function's URL."""
    return function.function.metric(name, period=MINUTE, statistic=statistic)
