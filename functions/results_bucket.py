"""The results bucket: one object a record, PREFIX + MODEL/ID.json."""

from __future__ import annotations

from typing import Any

from functions.results import Result


class BucketSink:
    """Writes results to S3, where a second write of a key replaces the first."""

    def __init__(self, s3: Any, bucket: str, prefix: str) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._prefix = prefix

    def publish(self, result: Result) -> None:
        """Answers and refusals alike. Raises botocore's errors."""
        self._s3.put_object(
            Bucket=self._bucket, Key=self._prefix + result.key, Body=result.body(), ContentType="application/json"
        )
