"""The queue function over a fake model: what is published, what is handed back, in which order, and in what time."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from functions.emf import Metrics
from functions.idempotency import Claims, NoClaims
from functions.queue.batch import QueueFunction
from functions.redelivery import Delays, Redeliver, leave_hidden
from tests.functions.conftest import read_event
from tests.functions.fakes import FakeContext, FakeModels, MemoryClaims, MemorySink

FIFO = "arn:aws:sqs:eu-west-1:123456789012:toy.fifo"


def event_of(*bodies: Any, group: Sequence[str] = ()) -> dict[str, Any]:
    """An SQS event with message ids m0, m1, ...; with groups it is a FIFO queue's."""
    [record] = read_event("sqs")["Records"]
    records = [
        record | {"messageId": f"m{place}", "body": body if isinstance(body, str) else json.dumps(body)}
        for place, body in enumerate(bodies)
    ]
    for one, name in zip(records, group, strict=False):
        one["eventSourceARN"] = FIFO
        one["attributes"] = one["attributes"] | {"MessageGroupId": name}
    return {"Records": records}


def function_of(
    models: FakeModels, sink: MemorySink, claims: Claims | None = None, redeliver: Redeliver = leave_hidden
) -> QueueFunction:
    metrics = Metrics("queue", io.StringIO())
    return QueueFunction(models, sink, claims or NoClaims(), metrics, 1000, 2.0, {"toy": "d1"}, redeliver=redeliver)


@pytest.fixture
def models() -> FakeModels:
    return FakeModels()


@pytest.fixture
def sink() -> MemorySink:
    return MemorySink()


def failed(answer: dict[str, Any]) -> list[str]:
    assert set(answer) == {"batchItemFailures"}
    return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]


def test_a_batch_is_answered_together_and_published_by_id(models: FakeModels, sink: MemorySink) -> None:
    mine = {"inputs": "b", "id": "mine", "stream": None}
    event = event_of({"inputs": "a"}, mine, {"inputs": "c", "id": 7, "model": "toy"})
    assert failed(function_of(models, sink).handle(event, None)) == []
    assert models.groups == [["a", "b", "c"]]
    assert sink.outputs == {"toy/m0.json": "A", "toy/mine.json": "B", "toy/7.json": "C"}
    assert dict(sink.published)["toy/m0.json"] == {"outputs": "A", "tokens": 1, "digest": "d1"}


@pytest.mark.parametrize(
    ("body", "error_type", "key"),
    [
        ("not json", "malformed", "refused/m1.json"),
        ("[]", "validation", "refused/m1.json"),
        ({"id": "a b", "inputs": "x"}, "validation", "refused/m1.json"),
        ({"id": "mine"}, "validation", "refused/mine.json"),
        ({"id": "mine", "inputs": "x", "model": "other"}, "unknown_model", "refused/mine.json"),
        ({"id": "mine", "inputs": "x", "model": 7}, "validation", "refused/mine.json"),
        ({"id": "mine", "inputs": 7}, "validation", "toy/mine.json"),
        ({"id": "mine", "inputs": "x", "stream": True}, "validation", "refused/mine.json"),
        ({"id": "mine", "inputs": "x", "stream": "no"}, "validation", "refused/mine.json"),
        ({"id": "mine", "inputs": "x" * 1000}, "too_large", "refused/mine.json"),
        ("\ud800", "malformed", "refused/m1.json"),
    ],
)
def test_a_record_that_is_refused_fails_alone_and_says_why(
    models: FakeModels, sink: MemorySink, body: Any, error_type: str, key: str
) -> None:
    answer = function_of(models, sink).handle(event_of({"inputs": "a"}, body, {"inputs": "b"}), None)
    assert failed(answer) == ["m1"]
    assert sink.outputs == {"toy/m0.json": "A", key: None, "toy/m2.json": "B"}
    refusal = dict(sink.published)[key]
    assert refusal["error_type"] == error_type
    assert refusal["status"] >= 400
    assert refusal["error"]


def test_a_record_may_say_that_it_wants_no_stream(models: FakeModels, sink: MemorySink) -> None:
    parameters: list[Any] = []
    answer = models.answer
    models.answer = lambda asked: (parameters.extend(one.request.parameters for one in asked), answer(asked))[1]  # type: ignore[method-assign]
    bodies = [{"inputs": "a", "stream": False, "top_k": 1}, {"inputs": "b", "parameters": {"stream": False}}]
    assert failed(function_of(models, sink).handle(event_of(*bodies), None)) == []
    assert parameters == [{"top_k": 1}, {}]


@pytest.mark.parametrize("inputs", ["poison", "busy"])
def test_what_may_succeed_later_is_handed_back_without_a_result(
    models: FakeModels, sink: MemorySink, inputs: str
) -> None:
    answer = function_of(models, sink).handle(event_of({"inputs": inputs}, {"inputs": "b"}), None)
    assert failed(answer) == ["m0"]
    assert sink.outputs == {"toy/m1.json": "B"}


def test_every_record_may_fail(models: FakeModels, sink: MemorySink) -> None:
    assert failed(function_of(models, sink).handle(event_of("{", "poison"), None)) == ["m0", "m1"]


def test_a_result_that_is_not_kept_is_no_success(models: FakeModels, sink: MemorySink) -> None:
    sink.fails["m0"] = OSError("disk full")
    function = function_of(models, sink)
    assert failed(function.handle(event_of({"inputs": "a"}, {"inputs": "b"}), None)) == ["m0"]
    assert failed(function.handle(event_of({"inputs": "a"}), None)) == []
    assert sink.outputs == {"toy/m1.json": "B", "toy/m0.json": "A"}


def test_a_fifo_group_stops_at_its_first_failure(models: FakeModels, sink: MemorySink) -> None:
    bodies = [{"inputs": text} for text in ("a", "b", "poison", "c", "d", "e")]
    event = event_of(*bodies, group=["1", "2", "1", "2", "1", "3"])
    assert failed(function_of(models, sink).handle(event, None)) == ["m2", "m4"]
    assert set(sink.outputs) == {"toy/m0.json", "toy/m1.json", "toy/m3.json", "toy/m5.json"}


def test_a_fifo_group_stays_stopped_in_later_groups_of_the_batch(models: FakeModels, sink: MemorySink) -> None:
    bodies = [{"inputs": "poison"}, *({"inputs": f"text {number}"} for number in range(20))]
    function = function_of(models, sink)
    assert failed(function.handle(event_of(*bodies, group=["1"] * 21), None)) == [f"m{n}" for n in range(21)]
    assert sink.outputs == {}
    assert [len(group) for group in models.groups] == [8]


def test_fifo_results_are_published_in_order(models: FakeModels, sink: MemorySink) -> None:
    bodies = [{"inputs": f"text {number}"} for number in range(40)]
    function_of(models, sink).handle(event_of(*bodies, group=["1"] * 40), None)
    assert [key for key, _ in sink.published] == [f"toy/m{number}.json" for number in range(40)]


def test_a_fair_standard_queues_group_keeps_no_order(models: FakeModels, sink: MemorySink) -> None:
    event = event_of({"inputs": "poison"}, {"inputs": "b"})
    for record in event["Records"]:
        record["attributes"]["MessageGroupId"] = "tenant"
    assert failed(function_of(models, sink).handle(event, None)) == ["m0"]


def test_records_that_do_not_fit_the_time_left_are_handed_back(sink: MemorySink) -> None:
    context = FakeContext(30.0)

    def spend() -> None:
        context.seconds -= 9.5

    models = FakeModels(before=spend)
    answer = function_of(models, sink).handle(event_of(*[{"inputs": "a"}] * 200), context)
    assert [len(group) for group in models.groups] == [8, 64, 64]
    assert failed(answer) == [f"m{number}" for number in range(136, 200)]
    assert len(sink.published) == 136


def delays_of(models: FakeModels, sink: MemorySink, event: dict[str, Any], context: Any = None) -> dict[str, int]:
    """What is delivered again before the queue's timeout, by message id, and after how many seconds."""
    names = {record["receiptHandle"]: record["messageId"] for record in event["Records"]}
    told: dict[str, int] = {}

    def redeliver(delays: Delays, _: float) -> None:
        assert {receipt.queue_arn for receipt, _ in delays} <= {event["Records"][0]["eventSourceARN"]}
        told.update({names[receipt.handle]: seconds for receipt, seconds in delays})

    function_of(models, sink, redeliver=redeliver).handle(event, context)
    return told


def with_receipts(event: dict[str, Any], receives: int = 1) -> dict[str, Any]:
    for record in event["Records"]:
        record["receiptHandle"] = f"receipt of {record['messageId']}"
        record["attributes"] = record["attributes"] | {"ApproximateReceiveCount": str(receives)}
    return event


def test_what_was_never_begun_is_delivered_again_at_once(sink: MemorySink) -> None:
    context = FakeContext(30.0)
    models = FakeModels(before=lambda: setattr(context, "seconds", 1.0))
    event = with_receipts(event_of({"inputs": "poison"}, *[{"inputs": "a"}] * 11), receives=4)
    assert delays_of(models, sink, event, context) == {"m8": 0, "m9": 0, "m10": 0, "m11": 0}


@pytest.mark.parametrize(("receives", "told"), [(1, {"m1": 30, "m3": 30}), (2, {"m1": 120, "m3": 120}), (3, {})])
def test_what_a_busy_model_turned_away_is_delivered_again_soon(
    models: FakeModels, sink: MemorySink, receives: int, told: dict[str, int]
) -> None:
    busy = {"inputs": "busy", "id": "x"}
    event = with_receipts(event_of({"inputs": "a"}, busy, {"inputs": "poison"}, busy, "not json"), receives)
    assert delays_of(models, sink, event) == told


def test_a_fifo_group_waits_as_long_as_its_first_failure(models: FakeModels, sink: MemorySink) -> None:
    bodies = [{"inputs": text} for text in ("busy", "a", "poison", "b", "busy")]
    event = with_receipts(event_of(*bodies, group=["1", "1", "2", "1", "2"]))
    assert delays_of(models, sink, event) == {"m0": 30, "m1": 30, "m3": 30}


def test_nothing_is_started_when_no_time_is_left(models: FakeModels, sink: MemorySink) -> None:
    answer = function_of(models, sink).handle(event_of({"inputs": "a"}, {"inputs": "b"}), FakeContext(1.9))
    assert (failed(answer), models.groups) == (["m0", "m1"], [])


def test_a_duplicate_in_the_batch_is_computed_once_and_shares_its_fate(models: FakeModels, sink: MemorySink) -> None:
    bodies = [{"inputs": "a", "id": "x"}, {"inputs": "poison", "id": "y"}]
    answer = function_of(models, sink).handle(event_of(*bodies, *bodies), None)
    assert models.groups == [["a", "poison"]]
    assert failed(answer) == ["m1", "m3"]
    assert [key for key, _ in sink.published] == ["toy/x.json"]


def test_a_duplicate_elsewhere_is_handed_back_and_not_computed(models: FakeModels, sink: MemorySink) -> None:
    claims = MemoryClaims()
    during: list[dict[str, Any]] = []
    other = function_of(FakeModels(), sink, claims)
    event = event_of({"inputs": "a", "id": "x"}, {"inputs": "poison", "id": "y"})
    models.before = lambda: during.append(other.handle(event, None))
    function = function_of(models, sink, claims)
    assert failed(function.handle(event, None)) == ["m1"]
    assert failed(during[0]) == ["m0", "m1"]
    # What was published is done for good; what failed is anybody's again.
    assert failed(other.handle(event, None)) == ["m1"]
    assert [key for key, _ in sink.published] == ["toy/x.json"]
    assert list(claims.held.values()) == ["done"]


def test_another_body_under_the_same_id_is_other_work(models: FakeModels, sink: MemorySink) -> None:
    function = function_of(models, sink, MemoryClaims())
    for text in ("a", "b"):
        function.handle(event_of({"inputs": text, "id": "x"}), None)
    assert sink.outputs == {"toy/x.json": "B"}


def test_an_event_that_is_none_is_an_exception(models: FakeModels, sink: MemorySink) -> None:
    with pytest.raises(KeyError):
        function_of(models, sink).handle({"records": []}, None)


def test_metrics_are_one_line_of_emf(models: FakeModels, sink: MemorySink) -> None:
    stream = io.StringIO()
    metrics = Metrics("queue", stream)
    function = QueueFunction(models, sink, NoClaims(), metrics, 1000, 2.0)
    function.handle(event_of({"inputs": "secret"}, "{"), None)
    metrics.flush({"function_request_id": "r1"})
    metrics.flush({})
    [line] = stream.getvalue().splitlines()
    written = json.loads(line)
    [directive] = written["_aws"]["CloudWatchMetrics"]
    assert directive["Dimensions"] == [["service", "trigger"]]
    described = {metric["Name"]: metric["Unit"] for metric in directive["Metrics"]}
    assert described["InferenceLatency"] == "Milliseconds"
    assert {name: written[name] for name in ("BatchSize", "Failed", "Refused", "Tokens")} == {
        "BatchSize": 2, "Failed": 1, "Refused": 1, "Tokens": 6,
    }  # fmt: skip
    assert described.keys() <= written.keys()
    assert "secret" not in line


def test_no_log_line_shows_what_a_record_holds(
    models: FakeModels, sink: MemorySink, caplog: pytest.LogCaptureFixture
) -> None:
    function_of(models, sink).handle(event_of({"inputs": "x", "model": "secret"}, "secret", {"inputs": "poison"}), None)
    assert len(caplog.records) == 3
    shown: Callable[[Any], str] = lambda record: record.getMessage() + str(record.__dict__.get("fields"))  # noqa: E731
    assert not any("secret" in shown(record) for record in caplog.records)
