"""CloudFormation's custom resource `Custom::GoldenCheck`: asks a new version the manifest's goldens.

Success lets the stack go on to the alias; failure rolls the stack back. Runs from a zip of this folder, with the
standard library and the boto3 of Lambda's runtime.
"""

from __future__ import annotations

import json
import logging
import urllib.request
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from functions.check.questions import WrongAnswerError, check

logger = logging.getLogger()
logger.setLevel(logging.INFO)
# CloudFormation waits for an answer until its own timeout, so one is sent while there is time to.
ANSWER_SECONDS = 5.0
MOST_REASON = 900


class AwsClients:
    """The AWS services that the check talks to. An invocation is sent once: a retry would hide a failure."""

    def __init__(self) -> None:
        self._lambda = boto3.client("lambda", config=Config(read_timeout=890, retries={"total_max_attempts": 1}))
        self._s3 = boto3.client("s3")

    def invoke(self, function_arn: str, event: dict[str, Any]) -> dict[str, Any]:
        """The function's own answer. Raises WrongAnswerError when it failed."""
        answer = self._lambda.invoke(FunctionName=function_arn, Payload=json.dumps(event).encode())
        payload = answer["Payload"].read()
        if answer.get("FunctionError"):
            raise WrongAnswerError(f"the function failed: {payload[:500].decode('utf-8', 'replace')}")
        result: dict[str, Any] = json.loads(payload)
        return result

    def read_object(self, bucket: str, key: str) -> bytes | None:
        """An object's content, None while there is none."""
        try:
            content: bytes = self._s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        except ClientError as error:
            if error.response["Error"]["Code"] in ("NoSuchKey", "404"):
                return None
            raise
        return content


def handler(event: dict[str, Any], context: Any) -> None:
    """Answer one request of CloudFormation, whatever happens."""
    status, reason = "SUCCESS", "nothing to ask"
    try:
        if event["RequestType"] != "Delete":
            properties = event["ResourceProperties"]
            goldens = json.loads(Path(__file__).with_name("goldens.json").read_text(encoding="utf-8"))
            asked = check(
                AwsClients(),
                properties["FunctionArn"],
                properties["Digests"],
                goldens,
                remaining_seconds=lambda: context.get_remaining_time_in_millis() / 1000 - ANSWER_SECONDS,
            )
            reason = f"{asked} golden inputs answered as when the artifact was built"
    except WrongAnswerError as error:
        status, reason = "FAILED", str(error)
    except Exception as error:
        logger.exception("the check itself failed")
        status, reason = "FAILED", f"the check itself failed: {type(error).__name__}: {error}"
    logger.info("%s: %s", status, reason)
    respond(event, status, reason)


def respond(event: dict[str, Any], status: str, reason: str) -> None:
    """Tell CloudFormation. The physical id never changes, so an update is no replacement."""
    body = {
        "Status": status,
        "Reason": reason[:MOST_REASON],
        "PhysicalResourceId": event.get("PhysicalResourceId") or f"golden-check-{event['LogicalResourceId']}",
        "StackId": event["StackId"],
        "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
    }
    request = urllib.request.Request(
        event["ResponseURL"], json.dumps(body).encode(), {"content-type": ""}, method="PUT"
    )
    with urllib.request.urlopen(request, timeout=ANSWER_SECONDS):
        pass
