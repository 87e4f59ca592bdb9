"""One SQS batch: predicted together, published record by record, and what failed handed back to the queue.

Records are taken in groups that fit the time left; what does not fit is returned before the function is killed. In a
FIFO queue the first failure of a message group returns the rest of the group, so that its order holds.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from functions.asking import Answered, Answering, Outcome
from functions.emf import Metrics
from functions.idempotency import Claim, Claims
from functions.queue.records import Job, QueueRecord, id_of, read_job, read_records
from functions.redelivery import Delays, Redeliver, busy_seconds, leave_hidden
from functions.remaining import Pace, RemainingTime, work_units
from functions.results import Result, ResultSink, is_final, refusal_fields
from layers.errors import InputError
from layers.runtime.request import MAX_TOGETHER

logger = logging.getLogger("hundredfold.queue")

# Results that are on their way at once.
PUBLISHING = 16


@dataclass(slots=True)
class Entry:
    """A record on its way through one invocation."""

    record: QueueRecord
    job: Job | None = None
    outcome: Outcome | None = None
    claim: Claim | None = None
    same_as: Entry | None = None
    failed: bool = False
    unstarted: bool = False

    @property
    def units(self) -> float:
        """A measure of its work."""
        return work_units(len(self.record.body), self.job.asked.request.parameters if self.job else None)


@dataclass(frozen=True)
class QueueFunction:
    """Takes SQS events; made once an environment."""

    models: Answering
    sink: ResultSink
    claims: Claims
    metrics: Metrics
    max_body_bytes: int
    spare_seconds: float
    digests: dict[str, str] = field(default_factory=dict)
    pace: Pace = field(default_factory=Pace)
    redeliver: Redeliver = leave_hidden
    publishers: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(PUBLISHING, "publish"))

    def handle(self, event: Any, context: Any) -> dict[str, Any]:
        """Every record's result is published, or the record's message id is among the `batchItemFailures`.

        Raises for an event that is no SQS event, upon which the whole batch is delivered again.
        """
        time_left = RemainingTime(context, self.spare_seconds)
        entries = [self._read(record) for record in read_records(event)]
        waiting, stopped_lanes, done = entries, set[str](), dict[str, Entry]()
        while waiting:
            count = self._count(waiting, time_left.seconds(), first=waiting is entries)
            if count == 0:
                break
            group, waiting = waiting[:count], waiting[count:]
            started = perf_counter()
            self._work(group, stopped_lanes, done, time_left)
            self.pace.learn(sum(entry.units for entry in group), started)
        for entry in waiting:
            entry.failed = entry.unstarted = True
        self.redeliver(_delays(entries), time_left.until_killed())
        return self._report(entries, unstarted=len(waiting))

    def _read(self, record: QueueRecord) -> Entry:
        try:
            return Entry(record, read_job(record, self.models, self.max_body_bytes))
        except InputError as refusal:
            return Entry(record, outcome=refusal)

    def _count(self, waiting: Sequence[Entry], seconds: float, *, first: bool) -> int:
        """How many records to start with now. One is always tried, or a slow record would never be."""
        if seconds <= 0:
            return 0
        count = self.pace.count_within([entry.units for entry in waiting[:MAX_TOGETHER]], seconds)
        return max(1, count) if first else count

    def _work(
        self, group: Sequence[Entry], stopped_lanes: set[str], done: dict[str, Entry], time_left: RemainingTime
    ) -> None:
        for entry in group:
            entry.failed = entry.record.lane in stopped_lanes
            if not entry.failed and entry.job is not None:
                entry.same_as = done.get(entry.job.work)
                done.setdefault(entry.job.work, entry)
        self._claim([entry for entry in group if _wanted(entry)], time_left)
        mine = [entry for entry in group if entry.claim == "mine"]
        outcomes = self.models.answer([entry.job.asked for entry in mine if entry.job is not None]) if mine else []
        for entry, outcome in zip(mine, outcomes, strict=True):
            entry.outcome = outcome
        stopped_lanes |= set(filter(None, self.publishers.map(self._publish_lane, _lanes(group))))
        for entry in group:
            if entry.same_as is not None:
                entry.failed = entry.same_as.failed or entry.record.lane in stopped_lanes

    def _claim(self, entries: Sequence[Entry], time_left: RemainingTime) -> None:
        def claim(entry: Entry) -> None:
            assert entry.job is not None
            try:
                entry.claim = self.claims.claim(entry.job.work, time_left.until_killed())
            except Exception as error:  # the table cannot be asked: this record is tried again later
                entry.outcome = error

        list(self.publishers.map(claim, entries))

    def _publish_lane(self, lane: Sequence[Entry]) -> str | None:
        """Publish what was computed, in order, up to the first failure; the lane's name when there was one."""
        stopped = False
        for entry in lane:
            entry.failed = entry.failed or stopped or not self._settle(entry)
            if stopped and entry.claim == "mine" and entry.job is not None:
                self._release(entry.job)
            stopped = stopped or entry.failed
        return lane[0].record.lane if stopped else None

    def _settle(self, entry: Entry) -> bool:
        """True when the record needs no other try."""
        if entry.claim in ("done", "elsewhere"):
            return entry.claim == "done"
        failure = entry.outcome
        try:
            if isinstance(entry.outcome, Answered) and entry.job is not None:
                self.sink.publish(self._answer(entry.job, entry.outcome))
                self.claims.complete(entry.job.work)
                return True
            if isinstance(entry.outcome, InputError) and is_final(entry.outcome):
                self.sink.publish(self._refusal(entry, entry.outcome))
        except Exception as error:  # the boundary: one record's failure is no other's
            failure = error
            if isinstance(error, InputError):
                self._publish_quietly(self._refusal(entry, error))
        if entry.claim == "mine" and entry.job is not None:
            self._release(entry.job)
        self._log(entry, failure)
        return False

    def _answer(self, job: Job, answer: Answered) -> Result:
        self.metrics.add("Tokens", answer.tokens or 0)
        self.metrics.add("GeneratedTokens", answer.generated_tokens)
        self.metrics.add("TokenizationLatency", answer.tokenization_ms, "Milliseconds")
        self.metrics.add("InferenceLatency", answer.inference_ms, "Milliseconds")
        self.metrics.add("PostprocessingLatency", answer.postprocessing_ms, "Milliseconds")
        fields = answer.fields() | {"digest": self.digests.get(job.asked.model)}
        return Result(job.id, job.asked.model, fields, job.work)

    def _refusal(self, entry: Entry, refusal: InputError) -> Result:
        self.metrics.add("Refused", 1)
        if entry.job is not None:
            return Result(entry.job.id, entry.job.asked.model, refusal_fields(refusal))
        return Result(id_of(entry.record), "refused", refusal_fields(refusal))

    def _publish_quietly(self, result: Result) -> None:
        try:
            self.sink.publish(result)
        except Exception:
            logger.exception("a refusal could not be published")

    def _release(self, job: Job) -> None:
        try:
            self.claims.release(job.work)
        except Exception:  # it runs out by itself
            logger.exception("a claim could not be released")

    def _log(self, entry: Entry, failure: Any) -> None:
        fields = {"message_id": entry.record.message_id, "error_type": type(failure).__name__}
        if isinstance(failure, InputError):
            # The message may quote what the record holds, which no log shows.
            logger.warning("record refused", extra={"fields": {**fields, "status": failure.status}})
        else:
            exception = failure if isinstance(failure, BaseException) else None
            logger.error("record failed", exc_info=exception, extra={"fields": fields})

    def _report(self, entries: Sequence[Entry], unstarted: int) -> dict[str, Any]:
        failures = [entry.record.message_id for entry in entries if entry.failed]
        self.metrics.add("BatchSize", len(entries))
        self.metrics.add("Failed", len(failures))
        self.metrics.add("Unstarted", unstarted)
        if unstarted:
            logger.warning("records returned for want of time", extra={"fields": {"records": unstarted}})
        return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failures]}


def _wanted(entry: Entry) -> bool:
    """True for a record that is to be computed."""
    return entry.job is not None and not entry.failed and entry.same_as is None


def _lanes(group: Iterable[Entry]) -> list[list[Entry]]:
    """The records that publish or fail by themselves, those of a lane together and in order."""
    lanes: dict[str, list[Entry]] = {}
    for entry in group:
        if entry.same_as is None:
            lanes.setdefault(entry.record.lane, []).append(entry)
    return list(lanes.values())


def _delays(entries: Iterable[Entry]) -> Delays:
    """What need not wait for the queue's timeout, and how long instead.

    A lane waits as long as its first failure does: until that one is visible, none of its group is delivered.
    """
    lanes: dict[str, int | None] = {}
    failed = [entry for entry in entries if entry.failed]
    for entry in failed:
        lanes.setdefault(entry.record.lane, _delay(entry.same_as or entry))
    waits = ((entry.record.receipt, lanes[entry.record.lane]) for entry in failed)
    return [(receipt, seconds) for receipt, seconds in waits if seconds is not None]


def _delay(entry: Entry) -> int | None:
    return 0 if entry.unstarted else busy_seconds(entry.outcome, entry.record.receipt)
