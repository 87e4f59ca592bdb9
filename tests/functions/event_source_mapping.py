"""A poller that does with a queue what Lambda's event source mapping does, as AWS documents it.

Messages are received until the batch is full or the window has passed, and handed over as one event. What the function
returns decides what is deleted. Whatever is not deleted is delivered again after the queue's visibility timeout, and
the queue moves it to its dead-letter queue after its receives.
https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Invoke = Callable[[dict[str, Any]], Any]


class InvocationError(Exception):
    """The function raised, ran out of time or its process died."""


@dataclass
class EventSourceMapping:
    """Polls one queue for one function. `duplicated` is the share of batches that are delivered twice."""

    sqs: Any
    queue_url: str
    queue_arn: str
    invoke: Invoke
    batch_size: int = 10
    window_seconds: float = 0.0
    concurrency: int = 1
    duplicated: float = 0.0
    shuffled: bool = False
    seed: int = 0
    batches: int = field(default=0, init=False)
    crashes: int = field(default=0, init=False)

    def run(self, is_over: Callable[[], bool], *, timeout_seconds: float) -> None:
        """Poll with so many threads until it is over. Raises AssertionError when it never is."""
        stop = threading.Event()

        def poll(number: int) -> None:
            chance = random.Random(self.seed + number)
            while not stop.is_set():
                if not self.poll_once(chance):
                    time.sleep(0.05)

        pollers = [threading.Thread(target=poll, args=(number,), daemon=True) for number in range(self.concurrency)]
        for poller in pollers:
            poller.start()
        deadline = time.monotonic() + timeout_seconds
        try:
            while not is_over():
                assert time.monotonic() < deadline, "the queue is not worked off"
                time.sleep(0.1)
        finally:
            stop.set()
            for poller in pollers:
                poller.join()

    def poll_once(self, chance: random.Random | None = None) -> bool:
        """Receive and hand over one batch; False when the queue has nothing to give."""
        chance = chance or random.Random(self.seed)
        messages = self._receive()
        if not messages:
            return False
        if self.shuffled:
            chance.shuffle(messages)
        self.batches += 1
        for _ in range(2 if chance.random() < self.duplicated else 1):
            event = {"Records": [self._record(message) for message in messages]}
            failed = self._failed(event)
        self._delete([message for message in messages if message["MessageId"] not in failed])
        return True

    def _receive(self) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = []
        end = time.monotonic() + self.window_seconds
        while len(messages) < self.batch_size:
            received = self.sqs.receive_message(
                QueueUrl=self.queue_url,
                MaxNumberOfMessages=min(10, self.batch_size - len(messages)),
                AttributeNames=["All"],
                MessageAttributeNames=["All"],
            ).get("Messages", [])
            messages += received
            if not received and time.monotonic() >= end:
                break
            if not received:
                time.sleep(0.02)
        return messages

    def _record(self, message: dict[str, Any]) -> dict[str, Any]:
        return {
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": message.get("Attributes", {}),
            "messageAttributes": {},
            "md5OfBody": message["MD5OfBody"],
            "eventSource": "aws:sqs",
            "eventSourceARN": self.queue_arn,
            "awsRegion": "eu-west-1",
        }

    def _failed(self, event: dict[str, Any]) -> set[str]:
        """Message ids of what is to be delivered again."""
        everything = {record["messageId"] for record in event["Records"]}
        try:
            answer = self.invoke(event)
        except Exception:
            self.crashes += 1
            return everything
        return failures_of(answer, everything)

    def _delete(self, messages: list[dict[str, Any]]) -> None:
        for start in range(0, len(messages), 10):
            entries = [
                {"Id": str(place), "ReceiptHandle": message["ReceiptHandle"]}
                for place, message in enumerate(messages[start : start + 10])
            ]
            self.sqs.delete_message_batch(QueueUrl=self.queue_url, Entries=entries)


def failures_of(answer: Any, everything: set[str]) -> set[str]:
    """What an answer hands back: nothing when it or its list is empty or null, everything when it makes no sense."""
    if answer is None or answer == {}:
        return set()
    if not isinstance(answer, dict) or "batchItemFailures" not in answer:
        return everything
    items = answer["batchItemFailures"]
    if not items:
        return set()
    named = {item.get("itemIdentifier") if isinstance(item, dict) else None for item in items}
    return named if named <= everything else everything
