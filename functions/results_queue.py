"""The results queue: one message an answer.

A queue cannot overwrite, so a record that is delivered twice may be answered twice here: a FIFO queue drops the second
within five minutes, and the idempotency table for as long as it remembers. Refused records are not sent: they would be
sent again with every receive, and end in the dead-letter queue in any case.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from functions.results import Result
from layers.errors import InputError

# Of one message, since August 2025 (AWS, "Amazon SQS message quotas").
MAX_MESSAGE_BYTES = 2**20


class QueueSink:
    """Sends answers to an SQS queue, standard or FIFO."""

    def __init__(self, sqs: Any, url: str, locate: Callable[[Result], str] | None = None) -> None:
        """`locate` says where else a result is, for answers that are larger than a message."""
        self._sqs = sqs
        self._url = url
        self._locate = locate

    def publish(self, result: Result) -> None:
        """Answers only; of a large one its `location`, where it has one. Raises botocore's errors.

        Raises InputError (413) for an answer that no message can hold and that is nowhere else.
        """
        if result.is_error:
            return
        body = result.body()
        if len(body) > MAX_MESSAGE_BYTES and self._locate is not None:
            body = Result(result.id, result.model, {"location": self._locate(result)}).body()
        if len(body) > MAX_MESSAGE_BYTES:
            raise InputError(
                f"result is too large for a message: got {len(body)} bytes, expected at most {MAX_MESSAGE_BYTES}. "
                "Send results to a bucket (HUNDREDFOLD_RESULTS_BUCKET).",
                status=413,
                error_type="too_large",
            )
        fifo: dict[str, str] = {}
        if self._url.endswith(".fifo"):
            # What is dropped is the same work alone, however often it was sampled: an id is used by other models too.
            work = hashlib.sha256((result.work or result.key).encode("utf-8")).hexdigest()
            fifo = {"MessageGroupId": result.model, "MessageDeduplicationId": work}
        self._sqs.send_message(QueueUrl=self._url, MessageBody=body.decode("utf-8"), **fifo)
