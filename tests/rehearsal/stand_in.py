"""moto's server as AWS, CDK's command line before it, and clients to look at what was made.

Loopback and test keys alone; nothing here can reach AWS.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

from benchmarks.emulator import free_ports
from tests.rehearsal.cdk import QUIET, ROOT, of_project, run_cdk
from tests.rehearsal.registry import await_port

ACCOUNT, REGION = "123456789012", "us-east-1"


@dataclass(frozen=True)
class StandIn:
    """`variables` are the environment that leads every AWS client to the server."""

    variables: Mapping[str, str]

    def client(self, service: str) -> Any:
        """A boto3 client of the server."""
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        address = self.variables["AWS_ENDPOINT_URL"]
        return boto3.client(service, region_name=REGION, endpoint_url=address, **keys)

    def cdk(self, project: Path, *words: str, **context: str) -> str:
        """What the command printed. Fails with it when the command fails."""
        return run_cdk(self.variables, project / "cdk.out", {**of_project(project), **context}, *words)


@contextmanager
def running_stand_in(engine: str) -> Iterator[StandIn]:
    """A server of its own. `engine` is what CDK runs in place of docker."""
    [port] = free_ports(1)
    variables = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ENDPOINT_URL_S3_FOR_CLOUDFORMATION": f"http://localhost:{port}",
        "CDK_DOCKER": engine,
        **QUIET,
    }
    program = f"from tests.rehearsal.stand_in_cloudformation import serve; serve({port})"
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, cwd=ROOT, env=variables, stderr=subprocess.DEVNULL) as server:
        try:
            await_port(port, server)
            yield StandIn(variables)
        finally:
            server.terminate()
