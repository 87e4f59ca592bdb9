"""Claims in DynamoDB without Powertools, which no zip here holds: the same table, the same items, the same rules.

A test has both take, refuse and finish each other's claims.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from math import inf
from typing import Any

from functions.aws import error_code
from functions.idempotency import LAMBDA_SECONDS, Claim

# A claim may be taken when there is none, when it is forgotten, or when its owner's time has run out.
FREE = (
    "attribute_not_exists(#id) OR #expiration < :now "
    "OR (#status = :taken AND attribute_exists(#until) AND #until < :now_ms)"
)
NAMES = {"#id": "id", "#expiration": "expiration", "#status": "status", "#until": "in_progress_expiration"}
TAKEN, DONE = "INPROGRESS", "COMPLETED"


class ItemClaims:
    """Implements `Claims`. `client` is boto3's for DynamoDB; `now` gives seconds since the epoch."""

    def __init__(self, table: str, remembered_seconds: int, client: Any, now: Callable[[], float] = time.time) -> None:
        self._table = table
        self._remembered_seconds = remembered_seconds
        self._client = client
        self._now = now

    def claim(self, key: str, seconds: float) -> Claim:
        """A conditional write. Raises botocore's errors when the table cannot be asked."""
        now = self._now()
        until = now + (LAMBDA_SECONDS if seconds == inf else max(0.0, seconds))
        try:
            self._client.put_item(
                TableName=self._table,
                Item={
                    **_item(key),
                    "expiration": {"N": str(int(now + self._remembered_seconds))},
                    "status": {"S": TAKEN},
                    "in_progress_expiration": {"N": str(int(1000 * until))},
                },
                ConditionExpression=FREE,
                ExpressionAttributeNames=NAMES,
                ExpressionAttributeValues={
                    ":now": {"N": str(int(now))},
                    ":now_ms": {"N": str(int(1000 * now))},
                    ":taken": {"S": TAKEN},
                },
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._client.exceptions.ClientError as error:
            if error_code(error) != "ConditionalCheckFailedException":
                raise
            present = error.response.get("Item", {})
            return "done" if present.get("status", {}).get("S") == DONE else "elsewhere"
        return "mine"

    def complete(self, key: str) -> None:
        """Keeps no answer, only that there is one."""
        self._client.update_item(
            TableName=self._table,
            Key=_item(key),
            UpdateExpression="SET #expiration = :expiration, #status = :done",
            ExpressionAttributeNames={"#expiration": "expiration", "#status": "status"},
            ExpressionAttributeValues={
                ":expiration": {"N": str(int(self._now() + self._remembered_seconds))},
                ":done": {"S": DONE},
            },
        )

    def release(self, key: str) -> None:
        """Deletes the claim."""
        self._client.delete_item(TableName=self._table, Key=_item(key))


def _item(key: str) -> dict[str, Any]:
    """Named as Powertools names what `functions/idempotency.py` hands it."""
    named = hashlib.sha256(json.dumps({"key": key}).encode()).hexdigest()
    return {"id": {"S": f"hundredfold#{named}"}}
