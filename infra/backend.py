"""Where a deployment's answers are computed: in its functions' own image, or on an endpoint that they forward to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.code import PROJECT, Building, Image, Zip, image_context, zip_of
from infra.constructs.alarms import ModelAlarms
from infra.constructs.dashboard import ModelDashboard
from infra.constructs.endpoint import GpuEndpoint
from infra.deployment import Deployment
from infra.planner.prices import PriceTable
from infra.sizing import Size
from infra.stages import Stage
from infra.triggers import job_of
from layers.catalogue import DeploySpec, Trigger
from layers.packaging.context import Architecture

# Where Lambda unpacks a zip.
STREAM_WRAPPER = "/var/task/functions/forward/stream.sh"


class Backend(Protocol):
    """What a trigger's function is made of and needs to know."""

    def code(self, trigger: Trigger) -> Image | Zip:
        """The function's code."""

    def environment(self, trigger: Trigger) -> dict[str, str]:
        """Variables of a trigger's function."""

    def grant(self, trigger: Trigger, function: lambda_.IFunction) -> None:
        """What a trigger's function may do."""

    def grant_check(self, function: lambda_.IFunction) -> None:
        """What the check of a new version may do besides invoking it."""

    def show(self, dashboard: ModelDashboard, triggers: Sequence[Trigger], prices: PriceTable) -> None:
        """What the dashboard shows of computing an answer."""


@dataclass(frozen=True)
class ImageBackend:
    """The model is in the functions' image."""

    context: Path
    architecture: Architecture
    deploy: DeploySpec
    building: Building

    def code(self, trigger: Trigger) -> Image:
        """One image for every trigger, with the trigger's command."""
        return Image(self.context, self.architecture, job_of(trigger, self.deploy).command, self.building.build_args())

    def environment(self, trigger: Trigger) -> dict[str, str]:  # noqa: ARG002
        """The image knows where its artifacts are."""
        return {}

    def grant(self, trigger: Trigger, function: lambda_.IFunction) -> None:
        """It asks nobody."""

    def grant_check(self, function: lambda_.IFunction) -> None:
        """Answers come at once."""

    def show(self, dashboard: ModelDashboard, triggers: Sequence[Trigger], prices: PriceTable) -> None:  # noqa: ARG002
        """What the functions measure of themselves."""
        dashboard.show_stages(triggers)


@dataclass(frozen=True)
class EndpointBackend:
    """The model is on an endpoint; functions forward."""

    endpoint: GpuEndpoint
    zip: Zip
    streams: bool = False

    def code(self, trigger: Trigger) -> Zip:
        """One zip for every trigger, with the trigger's handler."""
        return replace(self.zip, handler=f"functions.forward.{trigger}.handler")

    def environment(self, trigger: Trigger) -> dict[str, str]:
        """Where to forward to; and what Python's runtime is started by where answers leave as they come."""
        wrapper = {"AWS_LAMBDA_EXEC_WRAPPER": STREAM_WRAPPER} if self._streams(trigger) else {}
        return {**self.endpoint.environment(), **wrapper}

    def grant(self, trigger: Trigger, function: lambda_.IFunction) -> None:
        """It may invoke this endpoint."""
        self.endpoint.grant_invoke(function, streams=self._streams(trigger))

    def _streams(self, trigger: Trigger) -> bool:
        return self.streams and trigger == "https"

    def grant_check(self, function: lambda_.IFunction) -> None:
        """The check reads answers that come later."""
        self.endpoint.grant_answers(function)

    def show(self, dashboard: ModelDashboard, triggers: Sequence[Trigger], prices: PriceTable) -> None:
        """The endpoint; and the stages of its answers, which tell them to functions that wait for answers."""
        if not self.endpoint.answers_later:
            dashboard.show_stages(triggers)
        self.endpoint.show(dashboard, prices)


@contextmanager
def backend_of(
    scope: Construct,
    deployment: Deployment,
    size: Size,
    stage: Stage,
    alarms: ModelAlarms,
    building: Building,
) -> Iterator[ImageBackend | EndpointBackend]:
    """While functions are defined: their code lies in a temporary folder until CDK has copied it."""
    if size.endpoint is None:
        with image_context(deployment.members, size.function.architecture, building) as context:
            deploy = deployment.members[0].spec.deploy
            yield ImageBackend(context, size.function.architecture, deploy, building)
        return
    [member] = deployment.members
    endpoint = GpuEndpoint(
        scope, "Endpoint", member=member, size=size.endpoint, stage=stage, alarms=alarms, building=building
    )
    script = Path(STREAM_WRAPPER).name
    with zip_of("forward", {script: (PROJECT / "functions" / "forward" / script).read_text(encoding="utf-8")}) as code:
        yield EndpointBackend(endpoint, code, member.spec.deploy.streaming)
