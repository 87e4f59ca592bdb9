"""A deployed model asked by its URL, its queue and its bucket, as its callers would."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import ClientError

from functions.check.answers import difference
from layers.artifact import Golden
from tests.e2e.account import Account

JSON = {"content-type": "application/json"}
TRIES, PAUSE_SECONDS = 60, 5.0


def signed_headers(credentials: Any, region: str, url: str, body: bytes) -> dict[str, str]:
    """Headers of a POST to a function URL, signed as Lambda wants them."""
    request = AWSRequest("POST", url, data=body, headers=JSON)
    SigV4Auth(credentials, "lambda", region).add_auth(request)
    return dict(request.headers)


def ask_url(url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, Any]:
    """Status, and the answer where there is one."""
    try:
        with urlopen(Request(url, body, dict(headers)), timeout=90) as response:
            return int(response.status), json.load(response)
    except HTTPError as error:
        return error.code, None


def check_url(url: str, credentials: Any, region: str, golden: Golden) -> None:
    """Callers with credentials are answered as the build answered, and others are not. Raises AssertionError."""
    body = json.dumps({"inputs": golden.inputs, **_parameters(golden)}).encode()
    status, _ = ask_url(url, JSON, body)
    assert status == 403, f"an unsigned request: expected 403, got {status}"
    status, answer = ask_url(url, signed_headers(credentials, region, url, body), body)
    assert status == 200, f"a signed request: expected 200, got {status}"
    check_answer("the URL", golden, answer)


def check_queue(account: Account, queue_url: str, bucket: str, model: str, golden: Golden, **waiting: Any) -> None:
    """A record's result is in the bucket, under its id. Raises AssertionError."""
    body = json.dumps({"id": "e2e", "inputs": golden.inputs, **_parameters(golden)})
    account.client("sqs").send_message(QueueUrl=queue_url, MessageBody=body)
    result = await_object(account, bucket, lambda key: key == f"results/{model}/e2e.json", **waiting)
    check_answer("the queue", golden, json.loads(result)["outputs"])


def check_bucket(account: Account, bucket: str, golden: Golden, **waiting: Any) -> None:
    """An object's summary and its one line of results are there. Raises AssertionError."""
    line = json.dumps({"inputs": golden.inputs, **_parameters(golden)})
    account.client("s3").put_object(Bucket=bucket, Key="input/e2e.jsonl", Body=line.encode())
    summary = await_object(account, bucket, lambda key: key.endswith("input/e2e.jsonl/summary.json"), **waiting)
    described = json.loads(summary)
    assert (described["status"], described["counts"]["succeeded"]) == ("complete", 1), described
    results = await_object(account, bucket, lambda key: "input/e2e.jsonl/" in key and key.endswith(".jsonl"), **waiting)
    check_answer("the bucket", golden, json.loads(results)["outputs"])


def check_answer(asked: str, golden: Golden, answer: Any) -> None:
    """Raises AssertionError where it is not the build's own."""
    found = difference(golden.outputs, answer, golden.tolerance)
    assert found is None, f"{asked}: {found}"


def await_object(
    account: Account,
    bucket: str,
    wanted: Callable[[str], bool],
    tries: int = TRIES,
    sleep: Callable[[float], None] = time.sleep,
) -> bytes:
    """The first object below `results/` whose key is wanted. Raises AssertionError when none comes in time."""
    s3 = account.client("s3")
    for _ in range(tries):
        listed = s3.list_objects_v2(Bucket=bucket, Prefix="results/").get("Contents", [])
        for key in (each["Key"] for each in listed):
            if wanted(key):
                try:
                    content: bytes = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
                except ClientError:
                    break
                return content
        sleep(PAUSE_SECONDS)
    raise AssertionError(f"{bucket}: the result did not come in {tries * PAUSE_SECONDS:.0f} s; the queue has its fate")


def _parameters(golden: Golden) -> dict[str, Any]:
    return {"parameters": golden.parameters} if golden.parameters else {}
