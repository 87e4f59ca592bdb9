"""A deployment rehearsed against a stand-in for AWS: the CDK's own command line, moto's server, boto3 to look.

Run by `make cdk-test`, not by `make test`: it needs Node.js. No image is built or pushed: CDK_DOCKER is a command that
does nothing. Loopback and test keys alone; nothing here can reach AWS.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.infra.projects import write_project

ROOT = Path(__file__).resolve().parents[2]
ACCOUNT, REGION = "123456789012", "us-east-1"
MODEL, STACK = "plain-v1.5", "plain-v1-5"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def environment() -> Iterator[dict[str, str]]:
    """A server of its own, and the variables that lead everything to it."""
    port = free_port()
    variables = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ENDPOINT_URL_S3_FOR_CLOUDFORMATION": f"http://localhost:{port}",
        "CDK_DISABLE_CLI_TELEMETRY": "true",
        "CDK_DOCKER": "true",
        "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "20",
    }
    program = f"from tests.infra.stand_in_cloudformation import serve; serve({port})"
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, env=variables, stderr=subprocess.DEVNULL
    ) as server:
        for _ in range(120):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.5)
        yield variables
        server.terminate()


def cdk(environment: dict[str, str], project: Path, *words: str) -> str:
    """What the command printed. Fails with it when the command fails."""
    context = {"catalog": project / "models.toml", "stages": project / "stages.toml", "output": project / "build"}
    options = [word for key, value in context.items() for word in ("-c", f"{key}={value}")]
    application = ["--app", f"{sys.executable} -m infra.app", "--output", str(project / "cdk.out"), "--no-notices"]
    command = ["npx", "cdk", *words, *application, *options]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def of(environment: dict[str, str], service: str) -> Any:
    return boto3.client(
        service,
        region_name=REGION,
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


def test_a_model_is_deployed_found_unchanged_and_removed(environment: dict[str, str], tmp_path: Path) -> None:
    project = write_project(tmp_path)
    cdk(environment, project, "bootstrap", f"aws://{ACCOUNT}/{REGION}")
    cdk(environment, project, "deploy", MODEL, "--require-approval", "never")

    functions = of(environment, "lambda")
    named = [each["FunctionName"] for each in functions.list_functions()["Functions"]]
    [https] = [name for name in named if "Https" in name]
    assert functions.get_function_concurrency(FunctionName=https)["ReservedConcurrentExecutions"] == 10
    assert functions.get_alias(FunctionName=https, Name="live")["FunctionVersion"] == "1"
    assert functions.get_function_url_config(FunctionName=https)["AuthType"] == "AWS_IAM"
    alarms = of(environment, "cloudwatch").describe_alarms(AlarmNamePrefix=STACK)["MetricAlarms"]
    assert "requests are throttled" in [alarm["AlarmDescription"] for alarm in alarms]
    assert of(environment, "cloudwatch").list_dashboards()["DashboardEntries"]

    assert "There were no differences" in cdk(environment, project, "diff", MODEL, "--no-change-set")
    cdk(environment, project, "destroy", MODEL, "--force")
    assert [each for each in functions.list_functions()["Functions"] if each["FunctionName"] == https] == []
