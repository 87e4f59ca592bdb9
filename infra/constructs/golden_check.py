"""The check between a new version and its first request: it must answer the manifest's goldens as the build did.

A custom resource that the `live` alias waits for. It asks the new version itself, before CodeDeploy moves any
traffic; a wrong answer fails the stack's update, and CloudFormation goes back to the version before.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from aws_cdk import CustomResource, Duration
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.acknowledgements import acknowledge
from infra.admission import Member
from infra.code import zip_of
from infra.constructs.function import ZIP_RUNTIME
from infra.constructs.logs import LoggedRole
from infra.stages import Stage

MEMORY_MIB = 256
TIMEOUT_MINUTES = 15


class GoldenCheck(Construct):
    """Asks `version` at each deployment. What must not happen before the answer is right depends on this construct."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        version: lambda_.Version,
        members: Sequence[Member],
        stage: Stage,
    ) -> None:
        super().__init__(scope, construct_id)
        logged = LoggedRole(self, "Log", stage=stage)
        with zip_of("check", {"goldens.json": _goldens(members)}) as code:
            self.function = lambda_.Function(
                self,
                "Function",
                runtime=ZIP_RUNTIME,
                architecture=lambda_.Architecture.ARM_64,
                handler=code.handler,
                code=lambda_.Code.from_asset(str(code.folder)),
                memory_size=MEMORY_MIB,
                timeout=Duration.minutes(TIMEOUT_MINUTES),
                role=logged.role,
                log_group=logged.log_group,
                tracing=lambda_.Tracing.ACTIVE,
            )
        invoking = version.grant_invoke(self.function)
        resource = CustomResource(
            self,
            "Answers",
            service_token=self.function.function_arn,
            resource_type="Custom::GoldenCheck",
            service_timeout=Duration.minutes(TIMEOUT_MINUTES + 1),
            properties={
                "FunctionArn": version.function_arn,
                "Digests": {member.spec.name: member.manifest.digest for member in members},
            },
        )
        invoking.apply_before(resource)
        self._acknowledge()

    def _acknowledge(self) -> None:
        acknowledge(
            self.function,
            "Invoked by CloudFormation, which waits for the answer and reports a missing one as a failed update.",
            "Serverless-LambdaDLQ",
            "Serverless-LambdaAsyncFailureDestination",
        )


def _goldens(members: Sequence[Member]) -> str:
    asked = {m.spec.name: [golden.model_dump(mode="json") for golden in m.manifest.goldens] for m in members}
    return json.dumps(asked, sort_keys=True)
