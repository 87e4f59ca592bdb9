"""The real queue handler over a real artifact, with moto's server in place of S3, SQS and DynamoDB."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from functions.emf import Metrics
from functions.idempotency import NoClaims, TableClaims
from functions.queue.batch import QueueFunction
from functions.redelivery import Receipt, Redelivery
from functions.results import Result
from functions.results_bucket import BucketSink
from functions.results_folder import FolderSink
from functions.results_queue import MAX_MESSAGE_BYTES, QueueSink
from layers.errors import ArtifactError, InputError
from layers.runtime.predictor import Predictor
from tests.functions.conftest import imported, read_event
from tests.functions.event_source_mapping import EventSourceMapping, failures_of
from tests.functions.fakes import FakeContext, FakeModels
from tests.functions.stand_in import StandIn

QUEUE = "functions.queue.handler"


def test_an_answer_is_the_https_functions_in_the_results_bucket(
    output: Path, aws: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket = aws.bucket()
    event = read_event("sqs")
    with imported(QUEUE, ARTIFACT_DIR=str(output / "toy"), HUNDREDFOLD_RESULTS_BUCKET=bucket) as module:
        for context in (None, FakeContext(30)):
            assert module.handler(event, context) == {"batchItemFailures": []}
    [key] = aws.keys(bucket)
    message_id = event["Records"][0]["messageId"]
    assert key == f"results/toy/{message_id}.json"
    predictor = Predictor.load(output / "toy")
    result = json.loads(aws.read(bucket, key))
    assert result == {
        "id": message_id,
        "model": "toy",
        "outputs": predictor.predict(json.loads(event["Records"][0]["body"])["inputs"]).value,
        "tokens": result["tokens"],
        "digest": "0" * 64,
    }
    written = capsys.readouterr()
    assert written.out == ""
    lines = [json.loads(line) for line in written.err.splitlines()]
    assert [line["ColdStart"] for line in lines if "ColdStart" in line] == [1]
    assert "editor" not in written.err


def test_answers_go_to_a_results_queue(output: Path, aws: StandIn) -> None:
    queue = aws.queue()
    with imported(QUEUE, ARTIFACT_DIR=str(output / "toy"), HUNDREDFOLD_RESULTS_QUEUE_URL=queue.url) as module:
        event = read_event("sqs_fifo")
        assert [f["itemIdentifier"] for f in module.handler(event, None)["batchItemFailures"]] == [
            record["messageId"] for record in event["Records"][1:]
        ]
    [message] = aws.messages(queue.url)
    assert json.loads(message)["id"] == "order-1"


def test_a_result_that_no_message_holds_is_refused(aws: StandIn) -> None:
    queue = aws.queue()
    with pytest.raises(InputError, match="HUNDREDFOLD_RESULTS_BUCKET"):
        QueueSink(aws.sqs, queue.url).publish(Result("a", "toy", {"outputs": "x" * MAX_MESSAGE_BYTES}))
    QueueSink(aws.sqs, queue.url).publish(Result("a", "toy", {"error": "refused"}))
    assert aws.messages(queue.url) == []


def test_a_large_answer_is_sent_as_its_place_in_the_bucket(aws: StandIn) -> None:
    queue, bucket = aws.queue(), BucketSink(aws.s3, "results-of-toy", "results/")
    QueueSink(aws.sqs, queue.url, bucket.location).publish(Result("a", "toy", {"outputs": "x" * MAX_MESSAGE_BYTES}))
    assert [json.loads(body) for body in aws.messages(queue.url)] == [
        {"id": "a", "model": "toy", "location": "s3://results-of-toy/results/toy/a.json"}
    ]


def test_an_error_replaces_nothing_and_an_answer_replaces_it(aws: StandIn, tmp_path: Path) -> None:
    name = aws.bucket()
    answer, error = Result("a", "toy", {"outputs": 1}), Result("a", "toy", {"error": "refused"})
    for sink, read in (
        (BucketSink(aws.s3, name, "results/"), lambda: aws.read(name, "results/toy/a.json")),
        (FolderSink(tmp_path, "results/"), (tmp_path / "results/toy/a.json").read_bytes),
    ):
        for result, held in ((error, error), (error, error), (answer, answer), (error, answer), (answer, answer)):
            sink.publish(result)
            assert read() == held.body()


def test_a_fifo_results_queue_drops_a_second_answer(aws: StandIn) -> None:
    queue = aws.queue(fifo=True)
    for _ in range(2):
        QueueSink(aws.sqs, queue.url).publish(Result("a", "toy", {"outputs": "x"}))
    assert len(aws.messages(queue.url)) == 1


def test_a_fifo_results_queue_takes_other_work_under_the_same_id(aws: StandIn) -> None:
    queue = aws.queue(fifo=True)
    models, sink = FakeModels(names=("toy", "other")), QueueSink(aws.sqs, queue.url)
    function = QueueFunction(models, sink, NoClaims(), Metrics("queue", io.StringIO()), 1000, 2.0)
    bodies = [{"inputs": "a", "model": "toy"}, {"inputs": "b", "model": "toy"}, {"inputs": "a", "model": "other"}]
    [record] = read_event("sqs")["Records"]
    records = [record | {"messageId": str(n), "body": json.dumps({"id": "7", **body})} for n, body in enumerate(bodies)]
    for _ in range(2):
        assert function.handle({"Records": records}, None) == {"batchItemFailures": []}
    answers = [json.loads(message) for message in aws.messages(queue.url)]
    assert sorted((answer["model"], answer["outputs"]) for answer in answers) == [
        ("other", "A"), ("toy", "A"), ("toy", "B"),
    ]  # fmt: skip


def test_without_a_place_for_results_the_function_does_not_start(output: Path) -> None:
    with pytest.raises(ArtifactError, match="HUNDREDFOLD_RESULTS_BUCKET"), imported(QUEUE, ARTIFACT_DIR=str(output)):
        pass


def test_a_wrong_setting_is_named(output: Path) -> None:
    environment = {"ARTIFACT_DIR": str(output / "toy"), "HUNDREDFOLD_RANGE_SECONDS": "soon"}
    with pytest.raises(ArtifactError, match="HUNDREDFOLD_RANGE_SECONDS: got 'soon'"), imported(QUEUE, **environment):
        pass


def test_what_was_handed_back_for_want_of_time_is_there_again_at_once(output: Path, aws: StandIn) -> None:
    queue = aws.queue(visibility_seconds=900)
    bodies = [json.dumps({"inputs": "an editor", "id": str(number)}) for number in range(25)]
    for body in bodies:
        aws.sqs.send_message(QueueUrl=queue.url, MessageBody=body)
    environment = {"ARTIFACT_DIR": str(output / "toy"), "HUNDREDFOLD_RESULTS_BUCKET": aws.bucket()}
    with imported(QUEUE, **environment, HUNDREDFOLD_SPARE_SECONDS="20") as module:
        # No time is left, so that nothing is begun.
        invoke = lambda event: module.handler(event, FakeContext(19.0))  # noqa: E731
        mapping = EventSourceMapping(aws.sqs, queue.url, queue.arn, invoke, batch_size=25)
        assert mapping.poll_once()
    assert mapping.crashes == 0
    assert sorted(aws.messages(queue.url)) == sorted(bodies)


def test_a_queue_that_cannot_be_told_keeps_its_records_hidden(aws: StandIn, caplog: pytest.LogCaptureFixture) -> None:
    redelivery = Redelivery(lambda: aws.sqs)
    receipt = Receipt("arn:aws:sqs:eu-west-1:123456789012:no-such-queue", "receipt", 1)
    redelivery([(receipt, 0)], 30.0)
    assert "stay hidden" in caplog.text
    caplog.clear()
    redelivery([(receipt, 0)], 1.0)
    redelivery([(Receipt("", "", 1), 0)], 30.0)
    assert caplog.text == ""


@pytest.fixture
def claims(aws: StandIn) -> TableClaims:
    return TableClaims(aws.table(), 3600, aws.dynamodb)


def test_a_claim_is_held_until_it_is_done_or_released(claims: TableClaims) -> None:
    assert claims.claim("a", 30) == "mine"
    assert (claims.claim("a", 30), claims.claim("b", 30)) == ("elsewhere", "mine")
    claims.release("a")
    assert claims.claim("a", 30) == "mine"
    claims.complete("a")
    assert claims.claim("a", 30) == "done"


def test_a_claim_of_an_environment_that_died_runs_out(claims: TableClaims) -> None:
    assert claims.claim("a", 0) == "mine"
    assert claims.claim("a", 30) == "mine"
    assert claims.claim("a", 30) == "elsewhere"


def test_a_duplicate_is_not_computed_where_a_table_is_configured(output: Path, aws: StandIn) -> None:
    bucket, table = aws.bucket(), aws.table()
    environment = {
        "ARTIFACT_DIR": str(output / "toy"),
        "HUNDREDFOLD_RESULTS_BUCKET": bucket,
        "HUNDREDFOLD_IDEMPOTENCY_TABLE": table,
    }
    event = read_event("sqs")
    with imported(QUEUE, **environment) as module:
        assert module.handler(event, FakeContext(30)) == {"batchItemFailures": []}
        [key] = aws.keys(bucket)
        aws.s3.delete_object(Bucket=bucket, Key=key)
        assert module.handler(event, FakeContext(30)) == {"batchItemFailures": []}
    assert aws.keys(bucket) == []


def test_a_table_that_cannot_be_asked_hands_records_back(output: Path, aws: StandIn) -> None:
    environment = {
        "ARTIFACT_DIR": str(output / "toy"),
        "HUNDREDFOLD_RESULTS_BUCKET": aws.bucket(),
        "HUNDREDFOLD_IDEMPOTENCY_TABLE": "no-such-table",
    }
    event = read_event("sqs")
    with imported(QUEUE, **environment) as module:
        failures = module.handler(event, None)["batchItemFailures"]
    assert failures == [{"itemIdentifier": event["Records"][0]["messageId"]}]


@pytest.mark.parametrize(
    ("answer", "handed_back"),
    [
        (None, set()),
        ({}, set()),
        ({"batchItemFailures": []}, set()),
        ({"batchItemFailures": None}, set()),
        ({"batchItemFailures": [{"itemIdentifier": "a"}]}, {"a"}),
        ({"batchItemFailures": [{"itemIdentifier": "c"}]}, {"a", "b"}),
        ({"batchItemFailures": [{"itemIdentifier": ""}]}, {"a", "b"}),
        ({"batchItemFailures": [{"itemIdentifier": None}]}, {"a", "b"}),
        ({"batchItemFailures": [{"id": "a"}]}, {"a", "b"}),
        ({"failures": []}, {"a", "b"}),
        ("fine", {"a", "b"}),
    ],
)
def test_the_stand_in_for_the_mapping_reads_answers_as_lambda_does(answer: Any, handed_back: set[str]) -> None:
    assert failures_of(answer, {"a", "b"}) == handed_back
