"""A function's log group and role: it may write its own log and traces, and nothing else until something is granted."""

from __future__ import annotations

from aws_cdk import RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.acknowledgements import acknowledge
from infra.stages import Stage

DAYS = logs.RetentionDays
RETENTION = {
    1: DAYS.ONE_DAY,
    3: DAYS.THREE_DAYS,
    5: DAYS.FIVE_DAYS,
    7: DAYS.ONE_WEEK,
    14: DAYS.TWO_WEEKS,
    30: DAYS.ONE_MONTH,
    60: DAYS.TWO_MONTHS,
    90: DAYS.THREE_MONTHS,
    120: DAYS.FOUR_MONTHS,
    150: DAYS.FIVE_MONTHS,
    180: DAYS.SIX_MONTHS,
    365: DAYS.ONE_YEAR,
    400: DAYS.THIRTEEN_MONTHS,
    545: DAYS.EIGHTEEN_MONTHS,
    731: DAYS.TWO_YEARS,
}


def removal_of(stage: Stage) -> RemovalPolicy:
    """Dev leaves nothing behind; prod keeps its data."""
    return RemovalPolicy.RETAIN if stage.retain_data else RemovalPolicy.DESTROY


class LoggedRole(Construct):
    """A log group with its retention and the role of the one function that writes it."""

    def __init__(self, scope: Construct, construct_id: str, *, stage: Stage) -> None:
        super().__init__(scope, construct_id)
        self.log_group = logs.LogGroup(
            self, "LogGroup", retention=RETENTION[stage.log_retention_days], removal_policy=removal_of(stage)
        )
        # Not AWSLambdaBasicExecutionRole: it may write every log group of the account.
        self.role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        self.log_group.grant_write(self.role)
        acknowledge(
            self.role,
            "X-Ray's PutTraceSegments takes no resource; CDK grants it on * with active tracing.",
            "AwsSolutions-IAM5[Resource::*]",
            "Serverless-LambdaStarPermissions[Resource::*]",
        )
