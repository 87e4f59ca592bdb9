"""When what was handed back is delivered again: soon, where waiting for the queue's visibility timeout is of no use.

The timeout is six times the function's, so that nothing is delivered twice while somebody works on it. A record that
was never begun, or that a busy model turned away, would wait as long without anybody at work.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from functions.aws import client, queue_url
from functions.results import is_final
from layers.errors import InputError

logger = logging.getLogger("hundredfold.redelivery")

# By receive. Later ones wait for the timeout: a model that stays busy must not use up the receives that there are.
BUSY_SECONDS = (30, 120)
# Of ChangeMessageVisibilityBatch.
MOST_ENTRIES = 10
AT_ONCE = 8
# So many can be told in a fraction of the time that is kept for answering; of a larger batch the rest stays hidden.
MOST_TOLD = 500
# Two calls of an impatient client. With less left, the answer to Lambda comes first.
LEAST_SECONDS = 1.5


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a queue knows one delivery of a message by; `receives` counts the deliveries so far, this one included."""

    queue_arn: str
    handle: str
    receives: int


Delays = Sequence[tuple[Receipt, int]]
Redeliver = Callable[[Delays, float], None]


def leave_hidden(delays: Delays, seconds_left: float) -> None:
    """Implements `Redeliver` where no queue is told: every message waits for the timeout."""


def receipt_of(record: dict[str, Any]) -> Receipt:
    """That of a record in an SQS event."""
    receives = record.get("attributes", {}).get("ApproximateReceiveCount", "1")
    return Receipt(record.get("eventSourceARN", ""), record.get("receiptHandle", ""), int(receives))


def busy_seconds(failure: Any, receipt: Receipt) -> int | None:
    """After how long what a busy model turned away is worth another try; None: leave it to the queue's timeout."""
    if not isinstance(failure, InputError) or is_final(failure) or receipt.receives > len(BUSY_SECONDS):
        return None
    return BUSY_SECONDS[receipt.receives - 1]


def impatient_client() -> Any:
    """SQS's client that gives up soon, made when it is first needed."""
    return client("sqs", patient=False)


class Redelivery:
    """Tells queues. `sqs` gives a client that gives up soon; whatever fails here leaves a record to its timeout."""

    def __init__(self, sqs: Callable[[], Any] = impatient_client) -> None:
        self._sqs = sqs
        self._urls: dict[str, str] = {}

    def __call__(self, delays: Delays, seconds_left: float) -> None:
        """Have each message delivered again after so many seconds, if there is time to say so."""
        known = [delay for delay in delays if delay[0].queue_arn and delay[0].handle][:MOST_TOLD]
        if not known or seconds_left < LEAST_SECONDS:
            return
        try:
            url = self._url(known[0][0].queue_arn)
            parts = [known[start : start + MOST_ENTRIES] for start in range(0, len(known), MOST_ENTRIES)]
            with ThreadPoolExecutor(AT_ONCE) as calls:
                list(calls.map(lambda part: self._tell(url, part), parts))
        except Exception as error:  # nothing depends on it
            logger.warning("records stay hidden for their queue's timeout: %s: %s", type(error).__name__, error)

    def _tell(self, url: str, part: Delays) -> None:
        entries = [
            {"Id": str(place), "ReceiptHandle": receipt.handle, "VisibilityTimeout": seconds}
            for place, (receipt, seconds) in enumerate(part)
        ]
        self._sqs().change_message_visibility_batch(QueueUrl=url, Entries=entries)

    def _url(self, arn: str) -> str:
        if arn not in self._urls:
            self._urls[arn] = queue_url(self._sqs(), arn)
        return self._urls[arn]
