"""The results bucket: one object a record, PREFIX + MODEL/ID.json."""

from __future__ import annotations

from typing import Any

from functions.aws import CONFLICT, error_code
from functions.results import Result


class BucketSink:
    """Writes results to S3, where an answer replaces whatever its key held."""

    def __init__(self, s3: Any, bucket: str, prefix: str) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._prefix = prefix

    def location(self, result: Result) -> str:
        """Where a result is, as a URL."""
        return f"s3://{self._bucket}/{self._prefix}{result.key}"

    def publish(self, result: Result) -> None:
        """A refusal is written only where nothing is. Raises botocore's errors.

        A refused record is delivered several times more, maybe after it was mended and answered under the same id.
        """
        condition = {"IfNoneMatch": "*"} if result.is_error else {}
        try:
            self._s3.put_object(
                Bucket=self._bucket,
                Key=self._prefix + result.key,
                Body=result.body(),
                ContentType="application/json",
                **condition,
            )
        except self._s3.exceptions.ClientError as error:
            if not (result.is_error and error_code(error) in CONFLICT):
                raise
