"""The kinds of resources that moto's CloudFormation skips in silence, asked for at their own services."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from botocore.exceptions import ClientError

from tests.e2e.account import Account, Resource, names_of

QUEUE, BUCKET, ALARM = "AWS::SQS::Queue", "AWS::S3::Bucket", "AWS::CloudWatch::Alarm"
TARGET, PROVISIONED = "AWS::ApplicationAutoScaling::ScalableTarget", "RequestedProvisionedConcurrentExecutions"
TLS_ONLY = "aws:SecureTransport"


def unkept(account: Account, resources: list[Resource], url: str) -> list[str]:
    """What the stack promised and services do not have: of the URL, queues, buckets, alarms and scalable targets."""
    checks: tuple[Callable[[], Iterator[str]], ...] = (
        lambda: _url(account, resources, url),
        lambda: _queues(account, resources),
        lambda: _buckets(account, resources),
        lambda: _alarms(account, resources),
        lambda: _targets(account, resources),
    )
    return [said for check in checks for said in check()]


def _url(account: Account, resources: list[Resource], url: str) -> Iterator[str]:
    [name] = [each.name for each in resources if each.logical_id.startswith("HttpsFunction") and _is_function(each)]
    found = _answer(account.client("lambda").get_function_url_config, FunctionName=name, Qualifier="live") or {}
    given = found.get("FunctionUrl"), found.get("AuthType")
    if given != (url, "AWS_IAM"):
        yield f"the URL of {name}: expected {url} for AWS_IAM, got {given[0]} for {given[1]}"


def _is_function(resource: Resource) -> bool:
    return resource.kind == "AWS::Lambda::Function"


def _queues(account: Account, resources: list[Resource]) -> Iterator[str]:
    for name in names_of(resources, QUEUE):
        asked = {"QueueUrl": name, "AttributeNames": ["Policy"]}
        found = _answer(account.client("sqs").get_queue_attributes, **asked) or {}
        if TLS_ONLY not in found.get("Attributes", {}).get("Policy", ""):
            yield f"{name}: no policy that asks for TLS"


def _buckets(account: Account, resources: list[Resource]) -> Iterator[str]:
    for name in names_of(resources, BUCKET):
        found = _answer(account.client("s3").get_bucket_policy, Bucket=name) or {}
        if TLS_ONLY not in found.get("Policy", ""):
            yield f"{name}: no policy that asks for TLS"


def _alarms(account: Account, resources: list[Resource]) -> Iterator[str]:
    wanted = set(names_of(resources, ALARM))
    pages = account.client("cloudwatch").get_paginator("describe_alarms").paginate()
    there = {alarm["AlarmName"] for page in pages for alarm in page["MetricAlarms"]}
    yield from (f"{name}: no such alarm" for name in sorted(wanted - there))


def _targets(account: Account, resources: list[Resource]) -> Iterator[str]:
    found = account.client("application-autoscaling").describe_scalable_targets(ServiceNamespace="lambda")
    there = {target["ResourceId"] for target in found["ScalableTargets"]}
    for each in resources:
        if each.kind == TARGET:
            # CloudFormation's name of it: resource, dimension and namespace between bars.
            wanted = each.name.split("|")[0]
            if wanted not in there:
                yield f"{wanted}: its provisioned concurrency does not scale"


def cold(account: Account, resources: list[Resource]) -> list[str]:
    """Functions whose provisioned concurrency scales and that have none; moto knows nothing of either."""
    named = [each.name.split("|")[0].split(":") for each in resources if each.kind == TARGET]
    asked = [{"FunctionName": function, "Qualifier": alias} for _, function, alias in named]
    functions = account.client("lambda")
    return [
        f"{each['FunctionName']}: no environment is kept warm"
        for each in asked
        if not (_answer(functions.get_provisioned_concurrency_config, **each) or {}).get(PROVISIONED)
    ]


def _answer(call: Callable[..., dict[str, Any]], **asked: Any) -> dict[str, Any] | None:
    """None where the service knows nothing of it."""
    try:
        return call(**asked)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] in (400, 404):
            return None
        raise
