"""What is still there, and paid for, after a stack was destroyed; and what its deployment put beside it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from tests.e2e.account import Account, Resource

ABSENT = {
    "404",
    "NoSuchBucket",
    "NotFound",
    "NotFoundException",
    "ResourceNotFoundException",
    "AWS.SimpleQueueService.NonExistentQueue",
    "QueueDoesNotExist",
}


def left(account: Account, resources: list[Resource], stack: str) -> list[str]:
    """Those of the stack's resources that cost by the month and are still there, and log groups of its name."""
    return [*_resources_left(account, resources), *_logs_left(account, stack)]


def _resources_left(account: Account, resources: list[Resource]) -> Iterator[str]:
    for each in resources:
        asking = PROBES.get(each.kind)
        if asking is None or not each.name:
            continue
        try:
            asking(account.client, each.name)
        except ClientError as error:
            if error.response["Error"]["Code"] not in ABSENT:
                raise
        except LookupError:
            pass
        else:
            yield f"{each.kind} {each.name}"


def _logs_left(account: Account, stack: str) -> Iterator[str]:
    """A function that has no group of the stack's makes one below /aws/lambda by itself."""
    logs = account.client("logs")
    for prefix in (stack, f"/aws/lambda/{stack}"):
        for page in logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=prefix):
            yield from (f"log group {group['logGroupName']}" for group in page["logGroups"])


def _alarm(client: Callable[[str], Any], name: str) -> None:
    if not client("cloudwatch").describe_alarms(AlarmNames=[name])["MetricAlarms"]:
        raise LookupError(name)


def _dashboard(client: Callable[[str], Any], name: str) -> None:
    if not client("cloudwatch").list_dashboards(DashboardNamePrefix=name)["DashboardEntries"]:
        raise LookupError(name)


def _budget(client: Callable[[str], Any], name: str) -> None:
    account_id = client("sts").get_caller_identity()["Account"]
    client("budgets").describe_budget(AccountId=account_id, BudgetName=name)


# Each raises where there is no such thing. What is not here costs nothing by being there.
PROBES: Mapping[str, Callable[[Callable[[str], Any], str], Any]] = {
    "AWS::Lambda::Function": lambda client, name: client("lambda").get_function(FunctionName=name),
    "AWS::SQS::Queue": lambda client, name: client("sqs").get_queue_attributes(QueueUrl=name),
    "AWS::S3::Bucket": lambda client, name: client("s3").head_bucket(Bucket=name),
    "AWS::DynamoDB::Table": lambda client, name: client("dynamodb").describe_table(TableName=name),
    "AWS::SNS::Topic": lambda client, name: client("sns").get_topic_attributes(TopicArn=name),
    "AWS::CloudWatch::Alarm": _alarm,
    "AWS::CloudWatch::Dashboard": _dashboard,
    "AWS::Budgets::Budget": _budget,
}


@dataclass(frozen=True)
class Published:
    """What a deployment uploads to the bootstrap's places: objects by bucket and key, images by repository and tag."""

    objects: frozenset[tuple[str, str]]
    images: frozenset[tuple[str, str]]

    @classmethod
    def of(cls, manifest: Path, account_id: str, region: str) -> Published:
        """Read CDK's manifest of a stack's assets, `MODEL.assets.json`."""
        text = manifest.read_text(encoding="utf-8")
        for placeholder, value in (("AccountId", account_id), ("Region", region), ("Partition", "aws")):
            text = text.replace(f"${{AWS::{placeholder}}}", value)
        assets = json.loads(text)
        files = [place for each in assets["files"].values() for place in each["destinations"].values()]
        images = [place for each in assets["dockerImages"].values() for place in each["destinations"].values()]
        return cls(
            frozenset((each["bucketName"], each["objectKey"]) for each in files),
            frozenset((each["repositoryName"], each["imageTag"]) for each in images),
        )

    def there(self, account: Account) -> Published:
        """Those that the account has already."""
        return Published(
            frozenset(each for each in self.objects if _has_object(account, *each)),
            frozenset(each for each in self.images if _has_image(account, *each)),
        )

    def remove(self, account: Account, but: Published) -> None:
        """Delete them, except those that others may use because they were there before."""
        for bucket, key in self.objects - but.objects:
            s3 = account.client("s3")
            for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=key):
                for version in (*page.get("Versions", []), *page.get("DeleteMarkers", [])):
                    s3.delete_object(Bucket=bucket, Key=key, VersionId=version["VersionId"])
        for repository, tag in self.images - but.images:
            images = [{"imageTag": tag}]
            account.client("ecr").batch_delete_image(repositoryName=repository, imageIds=images)


def _has_object(account: Account, bucket: str, key: str) -> bool:
    try:
        account.client("s3").head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response["Error"]["Code"] not in ABSENT:
            raise
        return False
    return True


def _has_image(account: Account, repository: str, tag: str) -> bool:
    try:
        account.client("ecr").describe_images(repositoryName=repository, imageIds=[{"imageTag": tag}])
    except ClientError as error:
        if error.response["Error"]["Code"] not in {*ABSENT, "ImageNotFoundException"}:
            raise
        return False
    return True
