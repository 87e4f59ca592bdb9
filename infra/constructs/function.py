"""A function of a model: sized, traced, logged, bounded, and reached through its `live` alias only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_applicationautoscaling as scaling
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.acknowledgements import acknowledge
from infra.code import Image, Zip
from infra.constructs.logs import LoggedRole
from infra.sizing import FunctionSize
from infra.stages import Stage
from layers.catalogue import ScheduleSpec

ARCHITECTURES = {"x86_64": lambda_.Architecture.X86_64, "arm64": lambda_.Architecture.ARM_64}
ZIP_RUNTIME = lambda_.Runtime.PYTHON_3_14
# Scaling starts before the last warm environment is taken.
WARM_UTILIZATION = 0.7


class ModelFunction(Construct):
    """Versions, and `live`, the alias that every caller and trigger uses. Concurrency is always reserved."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        code: Image | Zip,
        size: FunctionSize,
        stage: Stage,
        timeout: Duration,
        environment: Mapping[str, str],
    ) -> None:
        super().__init__(scope, construct_id)
        logged = LoggedRole(self, "Log", stage=stage)
        self.timeout = timeout
        self.concurrency = size.concurrency
        self.function = self._function(
            code,
            architecture=ARCHITECTURES[size.architecture],
            memory_size=size.memory_mib,
            timeout=timeout,
            reserved_concurrent_executions=size.concurrency,
            environment=dict(environment),
            role=logged.role,
            log_group=logged.log_group,
            tracing=lambda_.Tracing.ACTIVE,
            snap_start=lambda_.SnapStartConf.ON_PUBLISHED_VERSIONS if size.snapstart else None,
            current_version_options=lambda_.VersionOptions(removal_policy=_keeping(size)),
        )
        self.version = self.function.current_version
        self.live = lambda_.Alias(self, "Live", alias_name="live", version=self.version)
        acknowledge(
            self.function,
            "Invoked synchronously, by its URL or by a queue that has a dead-letter queue; nothing invokes it "
            "asynchronously.",
            "Serverless-LambdaDLQ",
            "Serverless-LambdaAsyncFailureDestination",
        )

    def _function(self, code: Image | Zip, **options: object) -> lambda_.Function:
        if isinstance(code, Image):
            return lambda_.DockerImageFunction(self, "Function", code=code.code(), **options)  # type: ignore[arg-type]
        return lambda_.Function(
            self,
            "Function",
            code=lambda_.Code.from_asset(str(code.folder)),
            handler=code.handler,
            runtime=ZIP_RUNTIME,
            **options,  # type: ignore[arg-type]
        )

    def keep_warm(self, size: FunctionSize, schedule: Sequence[ScheduleSpec]) -> None:
        """Keep environments ready, more of them as they fill up and at the times that are scheduled."""
        # Scaling alone keeps none: it follows a metric that is published once there are some (Lambda's guide,
        # "Managing provisioned concurrency").
        alias = self.live.node.default_child
        assert isinstance(alias, lambda_.CfnAlias)
        alias.provisioned_concurrency_config = lambda_.CfnAlias.ProvisionedConcurrencyConfigurationProperty(
            provisioned_concurrent_executions=size.warm_minimum
        )
        target = self.live.add_auto_scaling(min_capacity=size.warm_minimum, max_capacity=size.warm_maximum)
        target.scale_on_utilization(utilization_target=WARM_UTILIZATION)
        for number, entry in enumerate(schedule):
            target.scale_on_schedule(
                f"Schedule{number}",
                schedule=scaling.Schedule.expression(f"cron({entry.cron})"),
                min_capacity=min(entry.minimum, size.warm_maximum),
                max_capacity=min(entry.maximum, size.warm_maximum),
            )


def _keeping(size: FunctionSize) -> RemovalPolicy:
    """Earlier versions stay to go back to, and go with their function; those with a snapshot would be paid for."""
    return RemovalPolicy.DESTROY if size.snapstart else RemovalPolicy.RETAIN
