"""Results of queue and bucket in the model's bucket, one object each, worded as functions with a model word them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from functions.aws import CONFLICT, error_code
from functions.forward.endpoint import Answer


@dataclass(frozen=True)
class Results:
    """`s3` is boto3's client. Keys are below `prefix`."""

    s3: Any
    bucket: str
    prefix: str

    def publish(self, key: str, content: bytes, *, is_error: bool = False) -> None:
        """An answer replaces what its key held; an error is written only where nothing is. Raises botocore's errors."""
        place: dict[str, Any] = {"Bucket": self.bucket, "Key": self.prefix + key, "ContentType": "application/json"}
        if is_error:
            place["IfNoneMatch"] = "*"
        try:
            self.s3.put_object(**place, Body=content)
        except Exception as error:
            if not (is_error and error_code(error) in CONFLICT):
                raise


def fields_of(answer: Answer) -> dict[str, Any]:
    """An answer's part of a result: `outputs`, an error, or where an asynchronous endpoint will write."""
    content = json.loads(answer.body)
    if answer.status == 200:
        return {"outputs": content}
    if answer.status == 202:
        return {"output_location": content["output_location"], "failure_location": content["failure_location"]}
    return {"error": content.get("error"), "error_type": content.get("error_type"), "status": answer.status}


def is_settled(answer: Answer) -> bool:
    """False for what a later try may answer: the endpoint is busy, starting or failing."""
    return answer.status < 500 and answer.status != 429
