"""One object in one invocation: rows are answered together, and kept part by part, until the time is used up."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from time import perf_counter
from typing import Any, BinaryIO

from functions.asking import Answered, Answering, Asked, Outcome
from functions.bucket.formats import rows_of
from functions.bucket.parts import PartLine, Parts, Progress
from functions.bucket.rows import Reading, Row
from functions.remaining import Pace, RemainingTime, work_units
from functions.results import is_final, refusal_fields
from layers.errors import InputError
from layers.runtime.request import MAX_TOGETHER
from layers.serving.json_body import json_bytes

logger = logging.getLogger("hundredfold.bucket")


@dataclass(frozen=True, slots=True)
class Limits:
    """When a part is kept, at the latest."""

    range_seconds: float
    range_bytes: int


@dataclass
class ObjectWork:
    """The work on one object, from behind its last part on. `model` answers rows that name none."""

    key: str
    file: BinaryIO
    reading: Reading
    parts: Parts
    models: Answering
    model: str
    limits: Limits
    pace: Pace
    time_left: RemainingTime
    unreadable: InputError | None = None
    _rows: Iterator[Row] = field(default_factory=lambda: iter(()))
    _waiting: list[Row] = field(default_factory=list)
    _lines: list[bytes] = field(default_factory=list)
    _bytes: int = 0
    _has_begun: bool = False

    def run(self) -> tuple[Progress, bool]:
        """Progress behind the last part that was kept, and whether the object is done with.

        What cannot be read ends an object too, and stands in `unreadable`. One record is always tried, or a slow one
        would never be. Raises what is no row's own failure.
        """
        progress = self.parts.progress()
        self._open(progress)
        while True:
            kept, ended = self._range(progress)
            if ended or kept.offset == progress.offset:
                return kept, ended
            progress = kept

    def _open(self, progress: Progress) -> None:
        self._rows = rows_of(self.key, self.file, self.reading, progress.place)
        self._waiting = []

    def _range(self, start: Progress) -> tuple[Progress, bool]:
        """Rows from a place on until a part is full, the time is used up, or the object has ended."""
        self._lines, self._bytes = [], 0
        started, progress, ended = perf_counter(), replace(start, last_failed=0), False
        while not self._is_full(started):
            self._fill()
            if not self._waiting:
                ended = True
                break
            count = self._count()
            if count == 0:
                break
            progress = self._answer(self._waiting[:count], progress)
            del self._waiting[:count]
        if not self._lines:
            return start, ended
        progress = replace(progress, seconds=round(start.seconds + perf_counter() - started, 3))
        kept = self.parts.commit(start, self._lines, progress)
        if kept.offset != progress.offset:
            # Another one at work on the same object was quicker; what it kept holds.
            self._open(kept)
            ended = False
        return kept, ended

    def _is_full(self, started: float) -> bool:
        return self._bytes >= self.limits.range_bytes or perf_counter() - started >= self.limits.range_seconds

    def _fill(self) -> None:
        try:
            self._waiting += islice(self._rows, MAX_TOGETHER - len(self._waiting))
        except InputError as error:
            self.unreadable = error

    def _count(self) -> int:
        seconds = self.time_left.seconds()
        if seconds <= 0:
            return 0
        count = self.pace.count_within([_units(row) for row in self._waiting], seconds)
        return count if self._has_begun else max(1, count)

    def _answer(self, rows: Sequence[Row], progress: Progress) -> Progress:
        self._has_begun = True
        started = perf_counter()
        asked: list[tuple[Row, Asked]] = []
        outcomes: dict[int, Outcome] = {}
        for row in rows:
            try:
                asked.append((row, _asked(row, self.models, self.model)))
            except InputError as refusal:
                outcomes[row.line] = refusal
        answers = self.models.answer([one for _, one in asked]) if asked else []
        _raise_if_no_rows_fault(answers, succeeded_before=progress.records > progress.failed)
        outcomes |= {row.line: answer for (row, _), answer in zip(asked, answers, strict=True)}
        for row in rows:
            line = part_line(row, outcomes[row.line])
            self._lines.append(line.body)
            self._bytes += len(line.body)
            progress = progress.behind(row.after, line)
        self.pace.learn(sum(map(_units, rows)), started)
        return progress


def _units(row: Row) -> float:
    return work_units(row.size, row.request.parameters if row.request else None)


def _raise_if_no_rows_fault(answers: Sequence[Outcome], *, succeeded_before: bool) -> None:
    """Raise a failure that later tries may not see: the model is busy, or nothing at all succeeds."""
    for answer in answers:
        if isinstance(answer, InputError) and not is_final(answer):
            raise answer
    broken = [answer for answer in answers if isinstance(answer, Exception) and not isinstance(answer, InputError)]
    if broken and len(broken) == len(answers) and (len(answers) > 1 or not succeeded_before):
        raise broken[0]
    for failure in broken:
        logger.error("a row failed", exc_info=failure)


def _asked(row: Row, models: Answering, model: str) -> Asked:
    if row.refusal is not None or row.request is None:
        raise row.refusal or InputError("row holds no request.")
    known_by = f"line-{row.line}" if row.id is None else str(row.id)
    return Asked(models.name_of(row.model or model), row.request, known_by)


def part_line(row: Row, outcome: Outcome) -> PartLine:
    """The row's line of results."""
    place = {"line": row.line, **({} if row.id is None else {"id": _written(row.id)})}
    if isinstance(outcome, Answered):
        return PartLine(
            json_bytes({**place, **outcome.fields()}) + b"\n",
            failed=False,
            tokens=outcome.tokens or 0,
            truncated=outcome.truncated_tokens > 0,
            generated_tokens=outcome.generated_tokens,
            inference_seconds=outcome.inference_ms / 1000,
        )
    refusal = outcome
    if not isinstance(refusal, InputError):
        # One row must not hold up an object of millions.
        refusal = InputError("The model failed to answer. The cause is in the log.", status=500, error_type="internal")
    return PartLine(json_bytes({**place, **refusal_fields(refusal)}) + b"\n", failed=True)


def _written(name: Any) -> Any:
    """An id as results show it: as its text where JSON has no word for it, such as 1e999 or bytes of Parquet."""
    if isinstance(name, str | int):
        return name
    try:
        json_bytes(name)
    except (TypeError, ValueError, RecursionError):
        return str(name)
    return name
