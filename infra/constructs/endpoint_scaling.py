"""How many instances an endpoint has: by invocations of each, or by the backlog of each and down to none."""

from __future__ import annotations

from aws_cdk import Duration, Stack
from aws_cdk import aws_applicationautoscaling as scaling
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra.constructs.endpoint_metrics import EndpointMetrics
from infra.sizing import EndpointSize

# Requests that wait for each instance before another is added.
BACKLOG_PER_INSTANCE = 5
OUT_SECONDS, IN_SECONDS = 120, 600


class EndpointScaling(Construct):
    """The variant's instances, between the size's bounds. Scaling in is slower than out: an instance takes minutes."""

    def __init__(self, scope: Construct, construct_id: str, *, metrics: EndpointMetrics, size: EndpointSize) -> None:
        super().__init__(scope, construct_id)
        self._metrics = metrics
        self.target = scaling.ScalableTarget(
            self,
            "Instances",
            service_namespace=scaling.ServiceNamespace.SAGEMAKER,
            resource_id=f"endpoint/{metrics.endpoint}/variant/{metrics.variant}",
            scalable_dimension="sagemaker:variant:DesiredInstanceCount",
            min_capacity=size.minimum,
            max_capacity=size.maximum,
            role=self._service_role(),
        )
        if size.mode == "realtime":
            self.target.scale_to_track_metric(
                "Invocations",
                predefined_metric=scaling.PredefinedMetric.SAGEMAKER_VARIANT_INVOCATIONS_PER_INSTANCE,
                target_value=size.invocations_per_minute,
                scale_out_cooldown=Duration.seconds(OUT_SECONDS),
                scale_in_cooldown=Duration.seconds(IN_SECONDS),
            )
            return
        self.target.scale_to_track_metric(
            "Backlog",
            custom_metric=metrics.of_queue("ApproximateBacklogSizePerInstance", "Average"),
            target_value=BACKLOG_PER_INSTANCE,
            scale_out_cooldown=Duration.seconds(OUT_SECONDS),
            scale_in_cooldown=Duration.seconds(IN_SECONDS),
        )
        self._wake()

    def _wake(self) -> None:
        """From none to one: with no instance there is no backlog of each, so tracking alone would never start one."""
        one_more = scaling.StepScalingAction(
            self,
            "OneInstance",
            scaling_target=self.target,
            adjustment_type=scaling.AdjustmentType.CHANGE_IN_CAPACITY,
            cooldown=Duration.seconds(OUT_SECONDS),
        )
        one_more.add_adjustment(adjustment=1, lower_bound=0)
        waiting = cloudwatch.Alarm(
            self,
            "Waiting",
            metric=self._metrics.of_queue("HasBacklogWithoutCapacity", "Average"),
            threshold=1,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            evaluation_periods=1,
            treat_missing_data=cloudwatch.TreatMissingData.MISSING,
            alarm_description="starts the first instance of an endpoint that has none; tells nobody",
        )
        waiting.add_alarm_action(actions.ApplicationScalingAction(one_more))

    def _service_role(self) -> iam.IRole:
        """The service's own role for endpoints, which Application Auto Scaling makes for the account."""
        arn = Stack.of(self).format_arn(
            service="iam",
            region="",
            resource="role/aws-service-role/sagemaker.application-autoscaling.amazonaws.com",
            resource_name="AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint",
        )
        return iam.Role.from_role_arn(self, "ServiceRole", arn)
