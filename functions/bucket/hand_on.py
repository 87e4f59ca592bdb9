"""How the rest of a large object is handed on: the same event again, to a queue."""

from __future__ import annotations

import json
from typing import Any

from functions.aws import client, queue_url


def hand_on(event: dict[str, Any], url: str | None, queue_arn: str | None) -> bool:
    """Send an event to the queue of that URL, or of that ARN; False when neither is known."""
    if url is None and queue_arn is None:
        return False
    if url is None:
        url = queue_url(client("sqs"), str(queue_arn))
    client("sqs").send_message(QueueUrl=url, MessageBody=json.dumps(event))
    return True
