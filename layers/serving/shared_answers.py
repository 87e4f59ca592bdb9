"""Answers in a DynamoDB table, which every environment of a function reads and writes.

Items are {"id": S, "answer": B, "expiration": N}: the key, the answer compressed by zlib, and the second of the epoch
after which it is void, which the table's time to live deletes within days. A lost table costs a warning, and a miss
for every question until it is tried again.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock
from time import monotonic, time
from typing import Any

from layers.errors import ArtifactError
from layers.runtime.cache import CacheReport

logger = logging.getLogger("hundredfold.serving")

KEY, ANSWER, EXPIRATION = "id", "answer", "expiration"
# DynamoDB's limit of an item, names included (Developer Guide, "Quotas"), less what is not the answer.
MAX_ANSWER_BYTES = 400 * 1024 - 200
CONNECT_SECONDS = 0.3
READ_SECONDS = 0.5
# After a failure nobody waits for the table again until this has passed.
PAUSE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class SharedReport(CacheReport):
    """`bytes` and `entries` are 0, since the table does not count for us. `failures` were misses for another reason."""

    failures: int


class TableAnswers:
    """A `SharedAnswers`. Safe between threads."""

    def __init__(
        self,
        table: str,
        ttl_seconds: int,
        client: Any = None,
        *,
        pause_seconds: float = PAUSE_SECONDS,
        now: Callable[[], float] = time,
    ) -> None:
        self._table = table
        self._ttl_seconds = ttl_seconds
        self._client = client if client is not None else _client()
        self._pause_seconds = pause_seconds
        self._now = now
        self._paused_until = 0.0
        self._hits = self._misses = self._failures = 0
        self._lock = Lock()

    def find(self, key: str) -> bytes | None:
        """The answer kept under this key, unless it has expired."""
        answer = self._attempt(lambda: self._read(key))
        with self._lock:
            self._hits += answer is not None
            self._misses += answer is None
        return answer

    def keep(self, key: str, answer: bytes) -> None:
        """Keep an answer that fits into an item; one that is there and still valid stays, so that all give the same."""
        packed = zlib.compress(answer, 1)
        if len(packed) <= MAX_ANSWER_BYTES:
            self._attempt(lambda: self._write(key, packed))

    def report(self) -> SharedReport:
        """Counts since the start."""
        with self._lock:
            return SharedReport(self._hits, self._misses, 0, 0, self._failures)

    def _read(self, key: str) -> bytes | None:
        found = self._client.get_item(TableName=self._table, Key={KEY: {"S": key}})
        item = found.get("Item")
        try:
            return zlib.decompress(item[ANSWER]["B"]) if item and int(item[EXPIRATION]["N"]) > self._now() else None
        except (KeyError, ValueError, zlib.error):
            return None  # somebody else's item, which is no reason to leave the table alone

    def _write(self, key: str, packed: bytes) -> None:
        now = int(self._now())
        # It fails where another environment was first.
        with suppress(self._client.exceptions.ConditionalCheckFailedException):
            self._client.put_item(
                TableName=self._table,
                Item={KEY: {"S": key}, ANSWER: {"B": packed}, EXPIRATION: {"N": str(now + self._ttl_seconds)}},
                ConditionExpression=f"attribute_not_exists({KEY}) OR {EXPIRATION} <= :now",
                ExpressionAttributeValues={":now": {"N": str(now)}},
            )

    def _attempt(self, call: Callable[[], bytes | None]) -> bytes | None:
        if monotonic() < self._paused_until:
            return None
        try:
            return call()
        except (
            Exception
        ) as error:  # whatever the network, the table or an item of others brings: answers do not need it
            with self._lock:
                self._failures += 1
                self._paused_until = monotonic() + self._pause_seconds
            logger.warning(
                "the table of responses %r failed: %s: %s. It is left alone for %g s.",
                self._table, type(error).__name__, error, self._pause_seconds,
            )  # fmt: skip
            return None


def _client() -> Any:
    """A client that gives up soon. Raises ArtifactError when there cannot be one here."""
    # A good part of a second at start, which only those pay who configured a table.
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError
    except ModuleNotFoundError as error:
        raise ArtifactError(
            "HUNDREDFOLD_RESPONSE_CACHE_TABLE: got a table and no boto3. Install 'hundredfold[shared-cache]'."
        ) from error
    config = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": 1},
        tcp_keepalive=True,
    )
    try:
        return boto3.client("dynamodb", config=config)
    except BotoCoreError as error:
        raise ArtifactError(f"HUNDREDFOLD_RESPONSE_CACHE_TABLE: no client for DynamoDB: {error}") from error
