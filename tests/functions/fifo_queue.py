"""A FIFO queue in memory, for what moto gets wrong: redelivered messages of a group come in the group's order.

moto 5.2.5 delivers the last of several messages that become visible again first. Here a group is blocked while one of
its messages is in flight, as AWS documents it. Time passes when it is told to.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Message:
    """A message of a group; in flight until `visible_at`."""

    id: str
    group: str
    body: str
    receives: int = 0
    visible_at: float = 0.0


@dataclass
class FifoQueue:
    """Has the methods of an SQS client that the poller calls."""

    visibility_seconds: float
    receives: int
    now: float = 0.0
    messages: list[Message] = field(default_factory=list)
    dead: list[str] = field(default_factory=list)

    def send(self, body: str, group: str) -> None:
        """Put a message at the end."""
        self.messages.append(Message(f"m{len(self.messages)}", group, body))

    def receive_message(self, *, MaxNumberOfMessages: int, **_: Any) -> dict[str, Any]:  # noqa: N803
        """The first messages of groups of which none is in flight; those received too often go to the dead ones."""
        blocked = {message.group for message in self.messages if message.visible_at > self.now}
        received: list[Message] = []
        for message in list(self.messages):
            if message.group in blocked or len(received) == MaxNumberOfMessages:
                continue
            if message.receives == self.receives:
                self.messages.remove(message)
                self.dead.append(message.body)
                continue
            message.receives += 1
            message.visible_at = self.now + self.visibility_seconds
            received.append(message)
        return {"Messages": [_as_sqs(message) for message in received]}

    def delete_message_batch(self, *, Entries: list[dict[str, str]], **_: Any) -> None:  # noqa: N803
        """Take messages out by their receipt handles, which are their ids."""
        deleted = {entry["ReceiptHandle"] for entry in Entries}
        self.messages = [message for message in self.messages if message.id not in deleted]


def _as_sqs(message: Message) -> dict[str, Any]:
    return {
        "MessageId": message.id,
        "ReceiptHandle": message.id,
        "Body": message.body,
        "MD5OfBody": "",
        "Attributes": {"MessageGroupId": message.group, "ApproximateReceiveCount": str(message.receives)},
    }


def body_of(name: str, inputs: Any) -> str:
    """A record's body."""
    return json.dumps({"id": name, "inputs": inputs})
