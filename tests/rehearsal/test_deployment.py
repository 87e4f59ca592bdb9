"""A deployment rehearsed: CDK's own command line bootstraps, publishes, deploys, compares and destroys; boto3 looks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.account import resources_of
from tests.e2e.leftovers import left
from tests.image.containers import BASE_IMAGE
from tests.infra.projects import write_project
from tests.rehearsal.cdk import ROOT
from tests.rehearsal.registry import MANIFEST_TYPE, Registry
from tests.rehearsal.stand_in import ACCOUNT, REGION, StandIn, running_stand_in

MODEL, STACK = "plain-v1.5", "plain-v1-5"


@dataclass(frozen=True)
class Deployed:
    """The project that was deployed, the context that it was deployed with, and AWS's stand-in."""

    aws: StandIn
    project: Path
    context: Mapping[str, str]

    def functions(self) -> list[str]:
        """Names of the functions there are."""
        listed = self.aws.client("lambda").list_functions()["Functions"]
        return [each["FunctionName"] for each in listed]

    def https(self) -> str:
        """The name of the HTTPS function."""
        [name] = [name for name in self.functions() if "Https" in name]
        return name


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory, registry: Registry | None) -> Iterator[Deployed]:
    """Bootstrapped and deployed; with an image where there is a registry."""
    project = write_project(tmp_path_factory.mktemp("project"))
    context = {}
    if registry:
        context = {"base_image": BASE_IMAGE, "wheels": str(ROOT / "build" / ".wheels")}
    with running_stand_in(str(registry.engine) if registry else "true") as aws:
        aws.cdk(project, "bootstrap", f"aws://{ACCOUNT}/{REGION}", **context)
        aws.cdk(project, "deploy", MODEL, "--require-approval", "never", **context)
        yield Deployed(aws, project, context)


def test_what_the_stack_promised_is_there(deployed: Deployed) -> None:
    functions, https = deployed.aws.client("lambda"), deployed.https()
    assert functions.get_function_concurrency(FunctionName=https)["ReservedConcurrentExecutions"] == 10
    assert functions.get_alias(FunctionName=https, Name="live")["FunctionVersion"] == "1"
    assert functions.get_function_url_config(FunctionName=https)["AuthType"] == "AWS_IAM"
    watching = deployed.aws.client("cloudwatch")
    alarms = watching.describe_alarms(AlarmNamePrefix=STACK)["MetricAlarms"]
    assert "requests are throttled" in [alarm["AlarmDescription"] for alarm in alarms]
    assert watching.list_dashboards()["DashboardEntries"]


def test_the_image_is_published_as_lambda_takes_it(deployed: Deployed, registry: Registry | None) -> None:
    """Where no container runs here, no image may be claimed: the summary says that none was published."""
    repository = f"cdk-hnb659fds-container-assets-{ACCOUNT}-{REGION}"
    if registry is None:
        assert deployed.context == {}
        return
    [tag] = registry.tags(repository)
    manifest = registry.manifest(repository, tag)
    assert manifest["mediaType"] == MANIFEST_TYPE
    configuration = registry.configuration(repository, tag)
    assert configuration["architecture"] == "amd64"
    assert configuration["config"]["Entrypoint"] == ["/var/task/entrypoint.sh"]
    [assets] = deployed.project.glob(f"cdk.out/{MODEL}.assets.json")
    assert tag in assets.read_text(encoding="utf-8"), "the registry holds the image that the stack names"


def test_nothing_differs_and_everything_goes(deployed: Deployed) -> None:
    https, resources = deployed.https(), resources_of(deployed.aws, STACK)
    assert f"AWS::Lambda::Function {https}" in left(deployed.aws, resources, STACK)
    same = deployed.aws.cdk(deployed.project, "diff", MODEL, "--no-change-set", **deployed.context)
    assert "There were no differences" in same
    deployed.aws.cdk(deployed.project, "destroy", MODEL, "--force", **deployed.context)
    assert https not in deployed.functions()
    remaining = left(deployed.aws, resources, STACK)
    # moto's functions log below their own name, whatever group they were given.
    assert [each for each in remaining if not each.startswith("log group /aws/lambda/")] == []
