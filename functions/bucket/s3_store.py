"""S3, with conditional requests: nothing is read of an object that has changed, nothing overwritten unawares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from functions.aws import CONFLICT, error_code
from functions.bucket.store import ObjectChangedError, ObjectGoneError, ObjectInfo

MISSING = ("404", "NoSuchKey", "NotFound")


class S3Store:
    """Implements `ObjectStore`. Other errors are botocore's."""

    def __init__(self, s3: Any) -> None:
        self._s3 = s3

    def info(self, bucket: str, key: str) -> ObjectInfo | None:
        """HEAD."""
        try:
            head = self._s3.head_object(Bucket=bucket, Key=key)
        except self._s3.exceptions.ClientError as error:
            if error_code(error) in MISSING:
                return None
            raise
        etag = head["ETag"].strip('"')
        return ObjectInfo(etag, etag, head["ContentLength"], head["Metadata"])

    def read(self, bucket: str, key: str, info: ObjectInfo, start: int, length: int) -> bytes:
        """GET of a range, if the object is still the same."""
        try:
            answer = self._s3.get_object(
                Bucket=bucket, Key=key, IfMatch=f'"{info.etag}"', Range=f"bytes={start}-{start + length - 1}"
            )
            content: bytes = answer["Body"].read()
        except self._s3.exceptions.ClientError as error:
            if error_code(error) in MISSING:
                raise ObjectGoneError(key) from error
            if error_code(error) in CONFLICT:
                raise ObjectChangedError(key) from error
            raise
        return content

    def keys(self, bucket: str, prefix: str) -> list[str]:
        """1,000 a request."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return [item["Key"] for page in pages for item in page.get("Contents", [])]

    def create(self, bucket: str, key: str, body: bytes, metadata: Mapping[str, str]) -> bool:
        """PUT with If-None-Match."""
        return self._put({"Bucket": bucket, "Key": key, "Body": body, "Metadata": dict(metadata), "IfNoneMatch": "*"})

    def replace(self, bucket: str, key: str, body: bytes, current: ObjectInfo | None) -> bool:
        """PUT with If-Match, or If-None-Match when nothing was there."""
        condition = {"IfNoneMatch": "*"} if current is None else {"IfMatch": f'"{current.etag}"'}
        return self._put({"Bucket": bucket, "Key": key, "Body": body, **condition})

    def _put(self, request: dict[str, Any]) -> bool:
        kind = "application/x-ndjson" if request["Key"].endswith(".jsonl") else "application/json"
        try:
            self._s3.put_object(**request, ContentType=kind)
        except self._s3.exceptions.ClientError as error:
            if error_code(error) in (*CONFLICT, *MISSING):
                return False
            raise
        return True
