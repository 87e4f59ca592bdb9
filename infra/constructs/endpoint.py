"""A model on a SageMaker endpoint: real-time, or asynchronous and down to no instance when nobody asks.

L1 constructs throughout: CDK's L2 for endpoints is experimental and has neither asynchronous inference nor guardrails
(aws-cdk#23152).
"""

from __future__ import annotations

from aws_cdk import Duration, RemovalPolicy, Stack
from aws_cdk import aws_ecr_assets as ecr_assets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from infra.acknowledgements import acknowledge, as_reported
from infra.admission import Member
from infra.code import Building, gpu_context
from infra.constructs.alarms import ModelAlarms
from infra.constructs.asynchronous import Exchange
from infra.constructs.dashboard import ModelDashboard
from infra.constructs.endpoint_alarms import endpoint_alarms
from infra.constructs.endpoint_dashboard import show_endpoint
from infra.constructs.endpoint_metrics import INSTANCES, EndpointMetrics
from infra.constructs.endpoint_scaling import EndpointScaling
from infra.constructs.logs import RETENTION
from infra.naming import shortened, single_hyphens
from infra.planner.prices import PriceTable
from infra.sizing import EndpointSize
from infra.stages import Stage

VARIANT = "AllTraffic"
LONGEST_NAME = 63
# Between a model's part of the name, which has no two hyphens in a row, and the rest: with one of them the functions of
# `bert` could invoke the endpoint of `bert-large`, whose name would begin like the names of their own.
MARK = "--"
# Of the mark, a type and a mode, such as --p4de-24xlarge-async. What goes before must not depend on them.
LONGEST_ENDING = 23
# The host's image with the driver (580) that CUDA 13 of functions/gpu/Dockerfile needs. Where none is named SageMaker
# takes one of driver 470 for g4dn and g5 and of 535 for g6 (its guide, inference-gpu-drivers), on which the container
# does not start (sagemaker-python-sdk#6281).
HOST_IMAGE = "al2023-ami-sagemaker-inference-gpu-4-1"
# Weights are read from the image while the health check waits; SageMaker allows up to an hour.
START_SECONDS = 900
# How long the old fleet stands by after the new one has all traffic, alarms being watched.
BAKE_SECONDS = 300
TERMINATION_SECONDS = 120


class GpuEndpoint(Construct):
    """`name` is fixed, because alarms, scaling and the log group must be there before the endpoint is.

    It ends in instance type and mode. SageMaker refuses to change the type of an endpoint that scales, so with another
    type there is another endpoint, and the one before goes when nothing asks it any more.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        member: Member,
        size: EndpointSize,
        stage: Stage,
        alarms: ModelAlarms,
        building: Building,
    ) -> None:
        super().__init__(scope, construct_id)
        ending = size.instance_type.removeprefix("ml.").replace(".", "-")
        ending += "-async" if size.mode == "asynchronous" else ""
        self._family = shortened(single_hyphens(Stack.of(self).stack_name), LONGEST_NAME - LONGEST_ENDING)
        self.name = f"{self._family}{MARK}{ending}"
        self._member, self._size = member, size
        self._metrics = EndpointMetrics(self.name, VARIANT)
        self._exchange = Exchange(self, "Exchange", stage=stage) if size.mode == "asynchronous" else None
        log_group = logs.LogGroup(
            self,
            "LogGroup",
            log_group_name=f"/aws/sagemaker/Endpoints/{self.name}",
            retention=RETENTION[stage.log_retention_days],
            # SageMaker fixes its name: one that was kept would stand in the way of the next endpoint of that name.
            removal_policy=RemovalPolicy.DESTROY,
        )
        with gpu_context(member, building) as context:
            image = ecr_assets.DockerImageAsset(
                self, "Image", directory=str(context), platform=ecr_assets.Platform.LINUX_AMD64
            )
        role = self._role(image, log_group)
        heeded = endpoint_alarms(alarms, self._metrics, size, member.spec.traffic)
        # SageMaker looks at them by this role while it updates (its guide, deployment-guardrails-configuration).
        looking = iam.PolicyStatement(
            actions=["cloudwatch:DescribeAlarms"], resources=[alarm.alarm_arn for alarm in heeded]
        )
        role.add_to_policy(looking)
        self.endpoint = self._endpoint(self._configuration(image, role), [alarm.alarm_name for alarm in heeded])
        self.endpoint.node.add_dependency(log_group)
        scaling = EndpointScaling(self, "Scaling", metrics=self._metrics, size=size)
        scaling.node.add_dependency(self.endpoint)

    @property
    def answers_later(self) -> bool:
        """Whether it is asynchronous."""
        return self._exchange is not None

    def environment(self) -> dict[str, str]:
        """What the forwarding functions need to know."""
        found = {
            "FORWARD_ENDPOINT": self.endpoint.attr_endpoint_name,
            "FORWARD_MODEL": self._member.spec.name,
            "FORWARD_TASK": self._member.manifest.task,
            "FORWARD_DIGEST": self._member.manifest.digest,
            "FORWARD_VARIANT": self._member.manifest.variant_for("cuda").name,
            "FORWARD_COLUMN": self._member.spec.bucket.column,
        }
        if self._exchange:
            found["FORWARD_EXCHANGE_BUCKET"] = self._exchange.bucket.bucket_name
        return found

    def grant_invoke(self, function: lambda_.IFunction, *, streams: bool = False) -> None:
        """The model's endpoint, whatever its instances: a version asks the one before until `live` has moved.

        The L1 has no grant of its own.
        """
        actions = ["sagemaker:InvokeEndpoint" + ("Async" if self._exchange else "")]
        if streams:
            actions.append("sagemaker:InvokeEndpointWithResponseStream")
        names = f"{self._family.lower()}{MARK}*"
        arn = Stack.of(self).format_arn(service="sagemaker", resource="endpoint", resource_name=names)
        function.add_to_role_policy(iam.PolicyStatement(actions=actions, resources=[arn]))
        role = function.role
        assert role is not None
        acknowledge(
            role,
            "Endpoints of this one model: instance type and mode end their names.",
            f"AwsSolutions-IAM5[Resource::{as_reported(role, arn)}]",
        )
        if self._exchange:
            self._exchange.grant_forwarding(function)

    def grant_answers(self, function: lambda_.IFunction) -> None:
        """Answers and failures that an asynchronous endpoint leaves in S3 may be read."""
        if self._exchange:
            self._exchange.grant_reading(function)

    def show(self, dashboard: ModelDashboard, prices: PriceTable) -> None:
        """Its rows of the model's dashboard."""
        show_endpoint(dashboard, self._metrics, self._size, prices)

    def _role(self, image: ecr_assets.DockerImageAsset, log_group: logs.LogGroup) -> iam.Role:
        role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("sagemaker.amazonaws.com"))
        image.repository.grant_pull(role)
        # What AWS's page sagemaker-roles asks for a model's role, in its own log and the namespace of instances.
        log_group.grant(role, "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents")
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["cloudwatch:PutMetricData"],
                resources=["*"],
                conditions={"StringEquals": {"cloudwatch:namespace": INSTANCES}},
            )
        )
        if self._exchange:
            self._exchange.grant_endpoint(role)
        acknowledge(
            role,
            "ecr:GetAuthorizationToken and cloudwatch:PutMetricData take no resource, and the latter is held to a "
            "namespace; every other action names this model's own.",
            "AwsSolutions-IAM5[Resource::*]",
        )
        return role

    def _configuration(self, image: ecr_assets.DockerImageAsset, role: iam.Role) -> sagemaker.CfnEndpointConfig:
        model = sagemaker.CfnModel(
            self,
            "Model",
            execution_role_arn=role.role_arn,
            # The image holds all that the container needs. SageMaker pulls it, moves requests and answers, and writes
            # logs and metrics by the role, in isolation from the container (its guide, mkt-algo-model-internet-free).
            enable_network_isolation=True,
            primary_container=sagemaker.CfnModel.ContainerDefinitionProperty(
                image=image.image_uri, environment={"POWERTOOLS_SERVICE_NAME": Stack.of(self).stack_name}
            ),
        )
        # SageMaker assumes the role and pulls the image while the model is created.
        model.node.add_dependency(role)
        return sagemaker.CfnEndpointConfig(
            self,
            "Configuration",
            production_variants=[
                sagemaker.CfnEndpointConfig.ProductionVariantProperty(
                    variant_name=VARIANT,
                    model_name=model.attr_model_name,
                    instance_type=self._size.instance_type,
                    initial_instance_count=max(1, self._size.minimum),
                    initial_variant_weight=1,
                    inference_ami_version=HOST_IMAGE,
                    container_startup_health_check_timeout_in_seconds=START_SECONDS,
                )
            ],
            async_inference_config=self._exchange.configuration() if self._exchange else None,
        )

    def _endpoint(self, configuration: sagemaker.CfnEndpointConfig, alarm_names: list[str]) -> sagemaker.CfnEndpoint:
        endpoint = sagemaker.CfnEndpoint
        # A canary must be at most half of the fleet, so a single instance is replaced at once, and baked.
        canary = self._size.minimum > 1
        return endpoint(
            self,
            "Endpoint",
            endpoint_name=self.name,
            endpoint_config_name=configuration.attr_endpoint_config_name,
            # An update keeps the number of instances that scaling has arrived at.
            retain_all_variant_properties=True,
            deployment_config=endpoint.DeploymentConfigProperty(
                blue_green_update_policy=endpoint.BlueGreenUpdatePolicyProperty(
                    traffic_routing_configuration=endpoint.TrafficRoutingConfigProperty(
                        type="CANARY" if canary else "ALL_AT_ONCE",
                        wait_interval_in_seconds=BAKE_SECONDS,
                        canary_size=endpoint.CapacitySizeProperty(type="INSTANCE_COUNT", value=1) if canary else None,
                    ),
                    termination_wait_in_seconds=TERMINATION_SECONDS,
                    maximum_execution_timeout_in_seconds=int(Duration.hours(1).to_seconds()),
                ),
                auto_rollback_configuration=endpoint.AutoRollbackConfigProperty(
                    alarms=[endpoint.AlarmProperty(alarm_name=name) for name in alarm_names]
                ),
            ),
        )
