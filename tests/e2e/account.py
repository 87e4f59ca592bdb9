"""A real account by its profile: clients, and CDK's command line. Tests pass a stand-in with the same methods."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import boto3

from tests.rehearsal.cdk import QUIET, ROOT, run_cdk

HERE = Path(__file__).parent
CONTEXT = {
    "catalog": str(HERE / "models.toml"),
    "stages": str(HERE / "stages.toml"),
    "output": str(ROOT / "build"),
}


class CannotStartError(Exception):
    """Why nothing was deployed; the message says what to do."""


class Account(Protocol):
    """Where a stack is looked at."""

    def client(self, service: str) -> Any:
        """A boto3 client."""


@dataclass(frozen=True)
class Resource:
    """One resource of a stack, as CloudFormation lists it."""

    kind: str
    logical_id: str
    name: str
    status: str


def resources_of(account: Account, stack: str) -> list[Resource]:
    """Every resource of the stack; by its id also of one that is deleted."""
    pages = account.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack)
    return [
        Resource(
            each["ResourceType"],
            each["LogicalResourceId"],
            each.get("PhysicalResourceId", ""),
            each["ResourceStatus"],
        )
        for page in pages
        for each in page["StackResourceSummaries"]
    ]


def names_of(resources: list[Resource], kind: str) -> Iterator[str]:
    """Physical names of a kind."""
    return (each.name for each in resources if each.kind == kind)


@dataclass(frozen=True)
class ProfileAccount:
    """The account that a profile of AWS's configuration leads to, in the profile's region."""

    profile: str
    region: str
    assembly: Path

    @classmethod
    def of(cls, environment: Mapping[str, str], assembly: Path) -> ProfileAccount:
        """Raises CannotStartError where the environment names no profile, or the profile no region."""
        profile = environment.get("AWS_PROFILE", "")
        if not profile:
            raise CannotStartError(
                "no account was named: this deploys to a real AWS account and costs money while it runs. Name a "
                "profile: make e2e AWS_PROFILE=NAME"
            )
        try:
            region = environment.get("AWS_REGION") or boto3.Session(profile_name=profile).region_name
        except boto3.exceptions.botocore.exceptions.ProfileNotFound as error:
            raise CannotStartError(f"{error}: `aws configure list-profiles` names those there are.") from error
        if not region:
            raise CannotStartError(f"profile {profile} has no region: set one with `aws configure`, or AWS_REGION.")
        return cls(profile, region, assembly)

    def client(self, service: str) -> Any:
        """A boto3 client of the account."""
        return self.session().client(service)

    def session(self) -> boto3.Session:
        """The profile's own."""
        return boto3.Session(profile_name=self.profile, region_name=self.region)

    def cdk(self, *words: str) -> str:
        """What the command printed. Raises AssertionError with it when the command fails."""
        variables = {**os.environ, "AWS_PROFILE": self.profile, "AWS_REGION": self.region, **QUIET}
        return run_cdk(variables, self.assembly, CONTEXT, *words)
