"""The real bucket handler over a real artifact, with moto's server in place of S3 and SQS."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import boto3
import pytest

from functions.bucket.s3_store import S3Store
from functions.bucket.store import ObjectChangedError, ObjectGoneError, ObjectInfo, open_object
from layers.errors import ArtifactError
from layers.runtime.predictor import Predictor
from tests.functions.conftest import Handler, imported, read_event
from tests.functions.event_source_mapping import EventSourceMapping
from tests.functions.fakes import FakeContext
from tests.functions.stand_in import Queue, StandIn
from tests.runtime.toy_artifact import write_toy

HANDLER = "functions.bucket.handler"
TEXTS = [f"package number {n} for editing text" for n in range(300)]


@pytest.fixture(scope="module")
def handle(output: Path, aws: StandIn) -> Iterator[Handler]:
    """The handler, whose results go next to the objects; it keeps a part at least at every 2,000 bytes."""
    assert aws.s3 is not None
    environment = {"ARTIFACT_DIR": str(output / "toy"), "HUNDREDFOLD_RANGE_BYTES": "2000"}
    with imported(HANDLER, **environment) as module:
        yield module.handler


@pytest.fixture
def notified(aws: StandIn) -> tuple[str, Queue]:
    """A bucket that tells a queue of what is written into it."""
    bucket, queue = aws.bucket(), aws.queue(visibility_seconds=1, receives=2)
    configuration = {"QueueConfigurations": [{"QueueArn": queue.arn, "Events": ["s3:ObjectCreated:*"]}]}
    aws.s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=configuration)
    return bucket, queue


def s3_event(bucket: str, key: str) -> dict[str, Any]:
    event = read_event("s3")
    event["Records"][0]["s3"]["bucket"]["name"] = bucket
    event["Records"][0]["s3"]["object"] = {"key": quote_plus(key), "sequencer": "0A"}
    return event


def results_of(aws: StandIn, bucket: str, key: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    summary = json.loads(aws.read(bucket, f"results/{key}/summary.json"))
    return summary, [json.loads(line) for part in summary["parts"] for line in aws.read(bucket, part).splitlines()]


def test_an_object_is_answered_as_over_https(handle: Handler, aws: StandIn, output: Path) -> None:
    bucket, key = aws.bucket(), "in/texts one+ü.txt.gz"
    aws.s3.put_object(Bucket=bucket, Key=key, Body=gzip.compress("\n".join(TEXTS).encode()))
    assert handle(s3_event(bucket, key), None)["objects"][0]["status"] == "complete"
    summary, lines = results_of(aws, bucket, key)
    assert [line["line"] for line in lines] == list(range(1, 301))
    predictor = Predictor.load(output / "toy")
    for line in (lines[0], lines[299]):
        [alone] = predictor.predict(TEXTS[line["line"] - 1]).value
        assert [label["label"] for label in line["outputs"][0]] == [label["label"] for label in alone]
    assert len(summary["parts"]) > 3
    assert {name: summary[name] for name in ("model", "digest", "variant", "format")} == {
        "model": "toy", "digest": "0" * 64, "variant": "fp32", "format": ".txt",
    }  # fmt: skip
    assert summary["seconds"]["work"] > 0


def test_notifications_lead_to_results_by_way_of_the_queue(
    handle: Handler, aws: StandIn, notified: tuple[str, Queue]
) -> None:
    """S3's test event, results' own events, and the rest of a large object all pass through the queue."""
    bucket, queue = notified
    aws.s3.put_object(Bucket=bucket, Key="in/a b.txt", Body="\n".join(TEXTS).encode())
    aws.s3.put_object(Bucket=bucket, Key="in/gone.txt", Body=b"a")
    aws.s3.delete_object(Bucket=bucket, Key="in/gone.txt")
    aws.sqs.send_message(QueueUrl=queue.url, MessageBody="no event")
    rounds: list[int] = []

    def invoke(event: dict[str, Any]) -> Any:
        # Time for one group of rows in each invocation.
        context = FakeContext(3.0)
        context.get_remaining_time_in_millis = _once_then_over(3000)  # type: ignore[method-assign]
        rounds.append(1)
        return handle(event, context)

    mapping = EventSourceMapping(aws.sqs, queue.url, queue.arn, invoke, batch_size=1)
    mapping.run(lambda: "results/in/a b.txt/summary.json" in aws.keys(bucket, "results/"), timeout_seconds=30)
    mapping.invoke = lambda event: handle(event, None)
    mapping.run(lambda: not mapping.poll_once() and bool(aws.messages(queue.dead_url)), timeout_seconds=30)
    summary, lines = results_of(aws, bucket, "in/a b.txt")
    assert [line["line"] for line in lines] == list(range(1, 301))
    assert len(rounds) > len(summary["parts"]) > 3
    assert {key.rsplit("/", 1)[0] for key in aws.keys(bucket, "results/")} == {
        "results/in/a b.txt", f"results/in/a b.txt/{summary['run']}",
    }  # fmt: skip


def test_notifications_lead_to_results_by_way_of_a_topic(handle: Handler, aws: StandIn) -> None:
    bucket, queue, sns = aws.bucket(), aws.queue(), boto3.client("sns")
    topic = sns.create_topic(Name=f"{bucket}-objects")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue.arn)
    configuration = {"TopicConfigurations": [{"TopicArn": topic, "Events": ["s3:ObjectCreated:*"]}]}
    aws.s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=configuration)
    aws.s3.put_object(Bucket=bucket, Key="in/a b.txt", Body="\n".join(TEXTS[:3]).encode())
    mapping = EventSourceMapping(aws.sqs, queue.url, queue.arn, lambda event: handle(event, None))
    mapping.run(lambda: "results/in/a b.txt/summary.json" in aws.keys(bucket, "results/"), timeout_seconds=30)
    assert [line["line"] for line in results_of(aws, bucket, "in/a b.txt")[1]] == [1, 2, 3]
    assert (mapping.crashes, aws.messages(queue.dead_url)) == (0, [])


def _once_then_over(milliseconds: int) -> Any:
    """A clock that has time left when it is first asked, and none when it is asked after one group of rows."""
    left = [milliseconds, milliseconds]
    return lambda: left.pop() if left else 0


def test_results_may_go_to_another_bucket(output: Path, aws: StandIn) -> None:
    bucket, results = aws.bucket(), aws.bucket()
    aws.s3.put_object(Bucket=bucket, Key="results/in.txt", Body=b"an editor")
    environment = {"ARTIFACT_DIR": str(output / "toy"), "HUNDREDFOLD_RESULTS_BUCKET": results}
    with imported(HANDLER, **environment) as module:
        assert module.handler(s3_event(bucket, "results/in.txt"), None)["objects"][0]["status"] == "complete"
    assert f"results/{bucket}/results/in.txt/summary.json" in aws.keys(results)
    assert aws.keys(bucket) == ["results/in.txt"]


def test_several_models_need_a_setting(tmp_path: Path, aws: StandIn) -> None:
    write_toy(tmp_path / "one", name="one")
    write_toy(tmp_path / "two", name="two", seed=1)
    bucket = aws.bucket()
    aws.s3.put_object(Bucket=bucket, Key="a.jsonl", Body=b'"an editor"\n{"inputs": "an editor", "model": "one"}\n')
    with (
        pytest.raises(ArtifactError, match="HUNDREDFOLD_BUCKET_MODEL: several models"),
        imported(HANDLER, ARTIFACT_DIR=str(tmp_path)),
    ):
        pass
    with imported(HANDLER, ARTIFACT_DIR=str(tmp_path), HUNDREDFOLD_BUCKET_MODEL="two") as module:
        module.handler(s3_event(bucket, "a.jsonl"), None)
    _, (by_two, by_one) = results_of(aws, bucket, "a.jsonl")
    assert by_one["outputs"] == Predictor.load(tmp_path / "one").predict("an editor").value != by_two["outputs"]


# The store


def test_a_store_reads_what_it_knows_and_nothing_else(aws: StandIn) -> None:
    store, bucket = S3Store(aws.s3), aws.bucket()
    assert store.info(bucket, "a") is None
    aws.s3.put_object(Bucket=bucket, Key="a", Body=b"0123456789")
    info = store.info(bucket, "a")
    assert info is not None
    file = open_object(store, bucket, "a", info)
    assert (file.read(3), file.seek(-2, 2), file.read(), file.read()) == (b"012", 8, b"89", b"")
    aws.s3.put_object(Bucket=bucket, Key="a", Body=b"another")
    with pytest.raises(ObjectChangedError):
        store.read(bucket, "a", info, 0, 3)
    aws.s3.delete_object(Bucket=bucket, Key="a")
    with pytest.raises(ObjectGoneError):
        store.read(bucket, "a", info, 0, 3)


def test_a_store_creates_once_and_replaces_what_it_knows(aws: StandIn) -> None:
    store, bucket = S3Store(aws.s3), aws.bucket()
    assert [store.create(bucket, "a.jsonl", b"1", {"progress": "{}"}) for _ in range(2)] == [True, False]
    info = store.info(bucket, "a.jsonl")
    assert info is not None
    assert info.metadata == {"progress": "{}"}
    outdated = ObjectInfo("0" * 32, "", 1, {})
    assert [store.replace(bucket, "a.jsonl", b"2", known) for known in (None, outdated, info, info)] == [
        False, False, True, False,
    ]  # fmt: skip
    assert store.keys(bucket, "a") == ["a.jsonl"]
