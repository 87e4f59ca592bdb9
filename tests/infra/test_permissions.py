"""What each role may do is what its code calls, on what it calls it on: no more, and nothing is missing."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
from aws_cdk.assertions import Template

from tests.infra.conftest import Templates
from tests.infra.resources import of_type, only

# Of every function, in its own log and in X-Ray.
ALWAYS = {"logs:CreateLogStream", "logs:PutLogEvents", "xray:PutTelemetryRecords", "xray:PutTraceSegments"}
# What Lambda asks of a queue's reader, and functions/redelivery.py with it.
RECEIVING = {
    "sqs:ChangeMessageVisibility",
    "sqs:DeleteMessage",
    "sqs:GetQueueAttributes",
    "sqs:GetQueueUrl",
    "sqs:ReceiveMessage",
}
CLAIMING = {"dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"}
Allowed = dict[str, set[str]]


def allowed(template: Template, role: str) -> Allowed:
    """Actions of the role whose policy begins so, each with what it is allowed on, but for what every function may."""
    policies = of_type(template, "AWS::IAM::Policy")
    [policy] = [each for name, each in policies.items() if name.startswith(role)]
    found: Allowed = defaultdict(set)
    for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
        for action in listed(statement["Action"]):
            found[action] |= {spoken(each) for each in listed(statement["Resource"])}
    return {action: resources for action, resources in found.items() if action not in ALWAYS}


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def spoken(resource: Any) -> str:
    """An ARN as the construct that it is of, and what stands behind it."""
    return "".join(parts(resource))


def parts(resource: Any) -> Iterator[str]:
    if isinstance(resource, str):
        yield resource
    elif "Fn::Join" in resource:
        for part in resource["Fn::Join"][1]:
            yield from parts(part)
    else:
        named = resource.get("Ref") or resource.get("Fn::Sub") or resource["Fn::GetAtt"][0]
        yield re.sub("[0-9A-F]{8}$", "", str(named))


def on(resource: str, *actions: str) -> Allowed:
    return {action: {resource} for action in actions}


def together(*grants: Allowed) -> Allowed:
    found: Allowed = defaultdict(set)
    for grant in grants:
        for action, resources in grant.items():
            found[action] |= resources
    return dict(found)


DATA = "StorageDataBucket"
RESULTS = on(f"{DATA}/results/*", "s3:PutObject")
OBJECTS = together(
    RESULTS,
    on(f"{DATA}/results/*", "s3:GetObject"),
    on(f"{DATA}/input/*", "s3:GetObject"),
    on(DATA, "s3:ListBucket"),
)
BUCKET = together(OBJECTS, on("BucketJobsQueue", *RECEIVING, "sqs:SendMessage"))
QUEUE = together(RESULTS, on("QueueJobsQueue", *RECEIVING))
CLAIMS = on("StorageClaimsTable", *CLAIMING)
EXCHANGE = "EndpointExchangeBucket"


def endpoint(name: str, *actions: str) -> Allowed:
    arn = f"arn:AWS::Partition:sagemaker:AWS::Region:AWS::AccountId:endpoint/{name}--*"
    return on(arn, *(f"sagemaker:{action}" for action in actions))


@pytest.mark.parametrize(
    ("stack", "role", "expected"),
    [
        ("everything", "HttpsLog", on("StorageResponsesTable", "dynamodb:GetItem", "dynamodb:PutItem")),
        ("everything", "QueueLog", together(QUEUE, CLAIMS)),
        ("everything", "BucketLog", BUCKET),
        ("plain-v1.5", "HttpsLog", {}),
        ("gpu-now", "HttpsLog", endpoint("gpu-now", "InvokeEndpoint")),
        ("gpu-now", "QueueLog", together(QUEUE, CLAIMS, endpoint("gpu-now", "InvokeEndpoint"))),
        ("gpu-now", "BucketLog", together(BUCKET, endpoint("gpu-now", "InvokeEndpoint"))),
        (
            "gpu-later",
            "QueueLog",
            together(QUEUE, endpoint("gpu-later", "InvokeEndpointAsync"), on(f"{EXCHANGE}/requests/*", "s3:PutObject")),
        ),
        (
            "gpu-later",
            "GoldenCheckLog",
            together(
                on("HttpsFunctionCurrentVersion", "lambda:InvokeFunction"),
                on(f"{EXCHANGE}/answers/*", "s3:GetObject"),
                on(f"{EXCHANGE}/failures/*", "s3:GetObject"),
                on(EXCHANGE, "s3:ListBucket"),
            ),
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_function_may_do_what_its_handler_calls(dev: Templates, stack: str, role: str, expected: Allowed) -> None:
    found = allowed(dev[stack], role)
    hashed = {
        action: {re.sub("(CurrentVersion)[0-9A-F]{8}[0-9a-f]+$", r"\1", each) for each in resources}
        for action, resources in found.items()
    }
    assert hashed == expected


@pytest.mark.parametrize("name", ["gpu-now", "gpu-later"])
def test_an_endpoint_may_pull_write_its_log_and_look_at_the_alarms_that_take_an_update_back(
    dev: Templates, name: str
) -> None:
    """Without the last, SageMaker does not know when to (its guide, deployment-guardrails-configuration)."""
    found = allowed(dev[name], "EndpointRole")
    heeded = only(dev[name], "AWS::SageMaker::Endpoint")["DeploymentConfig"]["AutoRollbackConfiguration"]["Alarms"]
    assert found.pop("cloudwatch:DescribeAlarms") == {spoken(each["AlarmName"]) for each in heeded}
    assert found.pop("cloudwatch:PutMetricData") == {"*"}
    assert {action for action in found if action.startswith("ecr:")} == {
        "ecr:BatchCheckLayerAvailability",
        "ecr:BatchGetImage",
        "ecr:GetAuthorizationToken",
        "ecr:GetDownloadUrlForLayer",
    }
    rest = {action: resources for action, resources in found.items() if not action.startswith(("ecr:", "logs:"))}
    assert rest == ({} if name == "gpu-now" else ASYNCHRONOUS)


# As the page async-inference-create-endpoint-prerequisites asks, in the bucket's own folders.
ASYNCHRONOUS = together(
    on(f"{EXCHANGE}/requests/*", "s3:GetObject"),
    *(on(f"{EXCHANGE}/{folder}/*", "s3:PutObject", "s3:AbortMultipartUpload") for folder in ("answers", "failures")),
    on(EXCHANGE, "s3:ListBucket"),
    on("EndpointExchangeSucceeded", "sns:Publish"),
    on("EndpointExchangeFailed", "sns:Publish"),
)


@pytest.mark.parametrize("name", ["everything", "gpu-later"])
def test_no_action_is_named_by_its_beginning(dev: Templates, name: str) -> None:
    for policy in of_type(dev[name], "AWS::IAM::Policy").values():
        assert not re.findall(r'"[a-z0-9]+:\w*\*"', json.dumps(policy))
