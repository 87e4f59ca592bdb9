"""moto's server on loopback in place of S3, SQS and DynamoDB: real HTTP, and no promise that AWS does the same."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import boto3
import pytest
from moto.server import ThreadedMotoServer

from functions.aws import forget_clients

REGION = "eu-west-1"


@dataclass(frozen=True)
class Queue:
    """A queue with its dead-letter queue."""

    url: str
    arn: str
    dead_url: str


@dataclass(frozen=True)
class StandIn:
    """Clients of the server, and what tests make with them. Names are new ones each time."""

    environment: dict[str, str]
    s3: Any
    sqs: Any
    dynamodb: Any

    def bucket(self) -> str:
        """A new bucket's name."""
        name = f"bucket-{uuid4().hex[:12]}"
        self.s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
        return name

    def queue(self, *, visibility_seconds: int = 3, receives: int = 4, fifo: bool = False) -> Queue:
        """A queue whose messages go to another one after so many receives."""
        name, ending = f"queue-{uuid4().hex[:12]}", ".fifo" if fifo else ""
        attributes = {"FifoQueue": "true"} if fifo else {}
        dead_url = self.sqs.create_queue(QueueName=f"{name}-dead{ending}", Attributes=attributes)["QueueUrl"]
        redrive = {"deadLetterTargetArn": self._arn(dead_url), "maxReceiveCount": receives}
        attributes |= {"VisibilityTimeout": str(visibility_seconds), "RedrivePolicy": json.dumps(redrive)}
        url = self.sqs.create_queue(QueueName=f"{name}{ending}", Attributes=attributes)["QueueUrl"]
        return Queue(url, self._arn(url), dead_url)

    def table(self) -> str:
        """A new table for claims, with Powertools' key."""
        name = f"table-{uuid4().hex[:12]}"
        self.dynamodb.create_table(
            TableName=name,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        return name

    def keys(self, bucket: str, prefix: str = "") -> list[str]:
        """Keys of every object of a bucket, in order."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return [item["Key"] for page in pages for item in page.get("Contents", [])]

    def read(self, bucket: str, key: str) -> bytes:
        """An object's content."""
        content: bytes = self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        return content

    def messages(self, url: str) -> list[str]:
        """The bodies of every message that waits in a queue; they are taken out of it."""
        bodies: list[str] = []
        while received := self.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            bodies += [message["Body"] for message in received]
            entries = [{"Id": str(place), "ReceiptHandle": m["ReceiptHandle"]} for place, m in enumerate(received)]
            self.sqs.delete_message_batch(QueueUrl=url, Entries=entries)
        return bodies

    def _arn(self, url: str) -> str:
        attributes = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
        return str(attributes["QueueArn"])


@contextmanager
def stand_in() -> Iterator[StandIn]:
    """The server, with the environment that leads every client of this process and of its children there."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    environment = {
        "AWS_ENDPOINT_URL": "http://{}:{}".format(*server.get_host_and_port()),
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        forget_clients()
        yield StandIn(environment, boto3.client("s3"), boto3.client("sqs"), boto3.client("dynamodb"))
        forget_clients()
    server.stop()
