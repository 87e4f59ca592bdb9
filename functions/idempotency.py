"""Who computes a record that is delivered twice: claims, in DynamoDB where a table is configured."""

from __future__ import annotations

import warnings
from math import inf
from typing import Any, Literal, Protocol

# "mine" to compute; "done" before, with its result published; "elsewhere" in progress in another environment.
Claim = Literal["mine", "done", "elsewhere"]
# No function runs longer.
LAMBDA_SECONDS = 900


class Claims(Protocol):
    """Claims on records, by what identifies their work."""

    def claim(self, key: str, seconds: float) -> Claim:
        """Try to take a record for so many seconds, after which a claim that was not completed counts no more."""

    def complete(self, key: str) -> None:
        """Its result is published."""

    def release(self, key: str) -> None:
        """It was not done; whoever gets it next may do it."""


class NoClaims:
    """Without a table every delivery is computed; results overwrite each other with the same answer."""

    def claim(self, key: str, seconds: float) -> Claim:  # noqa: ARG002
        """Always mine."""
        return "mine"

    def complete(self, key: str) -> None:
        """Nothing is kept."""

    def release(self, key: str) -> None:
        """Nothing was taken."""


class TableClaims:
    """Claims as Powertools keeps them: key `id`, attributes `status`, `expiration` and `in_progress_expiration`.

    The batch is computed at once, so its decorators, which wrap one call, do not fit; the persistence layer below
    them does.
    """

    def __init__(self, table: str, remembered_seconds: int, client: Any) -> None:
        from aws_lambda_powertools.utilities.idempotency import DynamoDBPersistenceLayer, IdempotencyConfig

        self._table = DynamoDBPersistenceLayer(table_name=table, boto3_client=client)
        config = IdempotencyConfig(expires_after_seconds=remembered_seconds, hash_function="sha256")
        self._table.configure(config, key_prefix="hundredfold")

    def claim(self, key: str, seconds: float) -> Claim:
        """A conditional write. Raises Powertools' persistence errors when the table cannot be asked."""
        from aws_lambda_powertools.utilities.idempotency.exceptions import (
            IdempotencyItemAlreadyExistsError,
            IdempotencyItemNotFoundError,
        )

        seconds = LAMBDA_SECONDS if seconds == inf else max(0.0, seconds)
        data = {"key": key}
        try:
            self._table.save_inprogress(data, remaining_time_in_millis=int(1000 * seconds))
        except IdempotencyItemAlreadyExistsError as error:
            record = error.old_data_record
            if record is None:
                try:
                    record = self._table.get_record(data)
                except IdempotencyItemNotFoundError:
                    return "elsewhere"
            return "done" if record is not None and record.status == "COMPLETED" else "elsewhere"
        return "mine"

    def complete(self, key: str) -> None:
        """Keeps no answer, only that there is one."""
        with warnings.catch_warnings():
            self._table.save_success({"key": key}, result={})

    def release(self, key: str) -> None:
        """Deletes the claim."""
        self._table.delete_record({"key": key}, RuntimeError("not done"))
