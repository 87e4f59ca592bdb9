"""How a new version takes over: by CodeDeploy, in the stage's steps, and back again when an alarm rings."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_codedeploy as codedeploy
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.acknowledgements import acknowledge
from infra.stages import Stage

CONFIGURATIONS = codedeploy.LambdaDeploymentConfig
STEPS = {
    "all-at-once": CONFIGURATIONS.ALL_AT_ONCE,
    "canary-5-minutes": CONFIGURATIONS.CANARY_10_PERCENT_5_MINUTES,
    "canary-30-minutes": CONFIGURATIONS.CANARY_10_PERCENT_30_MINUTES,
    "linear-10-minutes": CONFIGURATIONS.LINEAR_10_PERCENT_EVERY_1_MINUTE,
}


class Rollout(Construct):
    """A deployment group that moves `live` and rolls it back on failure, on a stop and on the given alarms."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        live: lambda_.Alias,
        alarms: Sequence[cloudwatch.Alarm],
        stage: Stage,
    ) -> None:
        super().__init__(scope, construct_id)
        group = codedeploy.LambdaDeploymentGroup(
            self,
            "Group",
            alias=live,
            deployment_config=STEPS[stage.rollout],
            alarms=list(alarms),
            auto_rollback=codedeploy.AutoRollbackConfig(
                failed_deployment=True, stopped_deployment=True, deployment_in_alarm=True
            ),
        )
        acknowledge(
            group,
            "AWSCodeDeployRoleForLambdaLimited is the policy that AWS maintains for exactly this role.",
            "AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/"
            "AWSCodeDeployRoleForLambdaLimited]",
        )
