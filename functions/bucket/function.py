"""Object events: each object's rows are answered and kept in parts, its rest is handed on, its summary written."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, cast

from functions.asking import Answering
from functions.bucket.formats import format_of
from functions.bucket.notices import UNREADABLE, Delivery, Notice, read_deliveries
from functions.bucket.object_work import Limits, ObjectWork
from functions.bucket.parts import Parts, Progress
from functions.bucket.rows import Reading
from functions.bucket.store import ObjectChangedError, ObjectGoneError, ObjectInfo, ObjectStore, open_object
from functions.bucket.summary import Facts, Summary, complete_content, is_outdated, refused_content
from functions.emf import Metrics
from functions.redelivery import Delays, Redeliver, busy_seconds, leave_hidden
from functions.remaining import Pace, RemainingTime
from layers.errors import HundredfoldError, InputError

logger = logging.getLogger("hundredfold.bucket")

HandOn = Callable[[dict[str, Any], str | None], bool]


class UnfinishedError(HundredfoldError):
    """An object has a rest and there is no queue to hand it on by; the event's next delivery goes on with it."""


@dataclass(frozen=True)
class Place:
    """Where results go: the bucket (None: the object's own) and the prefix of their keys."""

    bucket: str | None
    prefix: str

    def of(self, notice: Notice) -> tuple[str, str]:
        """Bucket and folder of an object's results. Another bucket's keys may be the same, so it is named there."""
        if self.bucket in (None, notice.bucket):
            return notice.bucket, f"{self.prefix}{notice.key}/"
        return str(self.bucket), f"{self.prefix}{notice.bucket}/{notice.key}/"

    def holds(self, notice: Notice) -> bool:
        """True for an object that is itself a result."""
        return self.bucket in (None, notice.bucket) and notice.key.startswith(self.prefix)


@dataclass(frozen=True)
class BucketFunction:
    """Takes S3 events, and SQS events that hold them; made once an environment.

    `model` answers the rows; `facts` say in summaries what it is. `hand_on(event, queue_arn)` puts an event into the
    queue that is configured, or the one named, and is False when there is none.
    """

    objects: ObjectStore
    results: ObjectStore
    place: Place
    models: Answering
    model: str
    facts: dict[str, Any]
    reading: Reading
    limits: Limits
    hand_on: HandOn
    metrics: Metrics
    spare_seconds: float
    redeliver: Redeliver = leave_hidden
    pace: Pace = field(default_factory=Pace)

    def handle(self, event: Any, context: Any) -> dict[str, Any]:
        """For a queue: `batchItemFailures`. For S3's own events: the status of each object; raises when one failed."""
        time_left = RemainingTime(context, self.spare_seconds)
        statuses: list[dict[str, str]] = []
        failed: list[tuple[Delivery, Exception]] = []
        for delivery in read_deliveries(event):
            try:
                statuses += [self._take(notice, delivery, time_left) for notice in delivery.notices]
            except Exception as error:  # the boundary: one object's failure is no other's
                failed.append((delivery, error))
                self.metrics.add("Failed", 1)
                logger.error("object failed", exc_info=error, extra={"fields": {"message_id": delivery.message_id}})
        direct = [error for delivery, error in failed if delivery.message_id is None]
        if direct:
            raise direct[0]
        if isinstance(event, dict) and _is_queues(event):
            self.redeliver(_delays(failed), time_left.until_killed())
            return {"batchItemFailures": [{"itemIdentifier": delivery.message_id} for delivery, _ in failed]}
        return {"objects": statuses}

    def _take(self, notice: Notice, delivery: Delivery, time_left: RemainingTime) -> dict[str, str]:
        if notice is UNREADABLE:
            raise InputError("message holds no S3 event.")
        try:
            status = self._status(notice, delivery, time_left)
        except ObjectGoneError:
            status = "deleted"
        except ObjectChangedError:
            status = "superseded"
        self.metrics.add("Objects", 1)
        logger.info("object", extra={"fields": {"bucket": notice.bucket, "key": notice.key, "status": status}})
        return {"bucket": notice.bucket, "key": notice.key, "status": status}

    def _status(self, notice: Notice, delivery: Delivery, time_left: RemainingTime) -> str:
        if self.place.holds(notice) or notice.key.endswith("/"):
            return "ignored"
        info = self.objects.info(notice.bucket, notice.key)
        if info is None:
            return "deleted"
        if notice.etag and info.etag and notice.etag != info.etag:
            return "superseded"
        bucket, folder = self.place.of(notice)
        summary = Summary(self.results, bucket, f"{folder}summary.json")
        facts = Facts(notice, info, self._run(info), self.facts)
        present, _ = summary.read()
        if is_outdated(notice, present):
            return "superseded"
        if present.get("run") == facts.run:
            return str(present["status"])
        try:
            ending, _ = format_of(notice.key)
        except InputError as refusal:
            return self._summarize(summary, facts, refused_content(refusal))
        parts = Parts(self.results, bucket, f"{folder}{facts.run}/")
        return self._work(summary, facts, parts, ending, delivery, time_left)

    def _work(
        self,
        summary: Summary,
        facts: Facts,
        parts: Parts,
        ending: str,
        delivery: Delivery,
        time_left: RemainingTime,
    ) -> str:
        notice = facts.notice
        file = open_object(self.objects, notice.bucket, notice.key, facts.info)
        work = ObjectWork(
            notice.key,
            cast(BinaryIO, file),
            self.reading,
            parts,
            self.models,
            self.model,
            self.limits,
            self.pace,
            time_left,
        )
        before = parts.progress()
        progress, ended = work.run()
        self._count(before, progress)
        if not ended:
            return self._hand_on(notice, delivery, moved=progress.offset != before.offset)
        if work.unreadable is not None and not progress.records:
            return self._summarize(summary, facts, {**refused_content(work.unreadable), "format": ending})
        content = complete_content(parts, progress, work.unreadable)
        return self._summarize(summary, facts, {**content, "format": ending})

    def _hand_on(self, notice: Notice, delivery: Delivery, *, moved: bool) -> str:
        """The rest is the same event again: the parts say where it goes on."""
        if moved and self.hand_on({"Records": [notice.record]}, delivery.queue_arn):
            return "handed on"
        reason = "there is no queue to hand it on by (HUNDREDFOLD_RANGES_QUEUE_URL)" if moved else "no time was left"
        raise UnfinishedError(f"{notice.bucket}/{notice.key}: has a rest, and {reason}. Its next delivery goes on.")

    def _summarize(self, summary: Summary, facts: Facts, content: dict[str, Any]) -> str:
        return str(content["status"]) if summary.write(facts, content) else "superseded"

    def _count(self, before: Progress, after: Progress) -> None:
        self.metrics.add("Records", after.records - before.records)
        self.metrics.add("FailedRecords", after.failed - before.failed)
        self.metrics.add("Tokens", after.tokens - before.tokens)
        self.metrics.add("GeneratedTokens", after.generated_tokens - before.generated_tokens)
        seconds = after.inference_seconds - before.inference_seconds
        self.metrics.add("InferenceLatency", 1000 * seconds, "Milliseconds")

    def _run(self, info: ObjectInfo) -> str:
        """Named by what the results depend on: the object's content, the model and how rows are read."""
        reading = [self.reading.column, dict(self.reading.parameters), self.reading.whole_text]
        inputs = json.dumps([info.version, self.model, self.facts, reading], sort_keys=True, default=str)
        return hashlib.sha256(inputs.encode()).hexdigest()[:16]


def _delays(failed: Sequence[tuple[Delivery, Exception]]) -> Delays:
    """What a busy model turned away need not wait for the queue's timeout."""
    waits = ((delivery.receipt, error) for delivery, error in failed)
    told = ((receipt, busy_seconds(error, receipt)) for receipt, error in waits if receipt is not None)
    return [(receipt, seconds) for receipt, seconds in told if seconds is not None]


def _is_queues(event: dict[str, Any]) -> bool:
    records = event.get("Records")
    return bool(records) and isinstance(records, list) and records[0].get("eventSource") == "aws:sqs"
