"""Texts written together: they join the rows of one decoder between its steps, and leave when they have ended.

One thread advances all rows, a token each a step. Between two steps at most one prompt is read into a free row, so
that texts under way are not held up by a crowd. The next to join is the oldest of those requests that have fewest texts
under way: length decides nothing, and a request of many texts leaves room for others. A row is chosen for by its own
options, as it would be alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from queue import SimpleQueue
from threading import Condition, Thread
from time import monotonic
from typing import Protocol

from layers.errors import InputError
from layers.runtime.generation.decoder import Ids, Logits
from layers.runtime.generation.detokenizer import Detokenizer
from layers.runtime.generation.loop import Row, TokenEvent
from layers.runtime.generation.options import DecodingOptions
from layers.runtime.run_thread import stay

MAX_WAITING = 256


class RowScores(Protocol):
    """What a run says of the next token of each row; until the next run."""

    def logits(self, row: int) -> Logits:
        """[vocabulary], the caller's to change."""

    def likeliest(self) -> Mapping[int, tuple[int, float]]:
        """The likeliest token of each row and its logit; cheaper than all logits where the graph has chosen."""


class Rows(Protocol):
    """Sequences in one decoder, by number of their row. Not shared between threads."""

    def admits(self, row: int, tokens: int) -> bool:
        """Whether there is memory, beside the others, for a row that grows to so many tokens; if so, it is taken."""

    def begin(self, row: int, prompt: Ids, source: Ids | None) -> RowScores:
        """Compute a prompt into an admitted row; for an encoder-decoder with what its encoder reads."""

    def advance(self, tokens: Mapping[int, int]) -> RowScores:
        """Append one token to each of the rows that have begun."""

    def end(self, row: int) -> None:
        """The row is free."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A text to be written, which becomes so many `tokens` long with its prompt."""

    prompt: Ids
    source: Ids | None
    tokens: int
    row: Row


@dataclass(slots=True, eq=False)
class Job:
    """A request: texts that wait for a row, how many have one, and where their tokens are awaited."""

    waiting: deque[Wanted]
    deadline: float
    events: SimpleQueue[TokenEvent | Exception] = field(default_factory=SimpleQueue)
    running: int = 0
    begun: bool = False
    over: bool = False

    def fail(self, error: Exception) -> None:
        """Nobody waits for its texts any more."""
        self.over = True
        self.events.put(error)


@dataclass(slots=True, eq=False)
class Text:
    """A text under way, and its last token."""

    job: Job
    row: Row
    token: int = -1

    def take(self, row: int, scores: RowScores, likeliest: Mapping[int, tuple[int, float]]) -> bool:
        """Choose the next token and tell who waits for it; false when it was the last."""
        try:
            event = self.row.accept(*likeliest[row]) if row in likeliest else self.row.advance(scores.logits(row))
        except Exception as error:  # the boundary: one text's failure is no other's
            self.job.fail(error)
            return False
        self.token = event.token
        self.job.events.put(event)
        return event.finish is None


class Scheduler:
    """Writes the texts of all requests with `max_rows` rows. Safe between threads; its own ends with the process.

    `open_rows(tokens, prompt)` lends rows whose first has room for so many tokens, while the context lasts; it may
    wait, and raise InputError (429). A request whose first text has not begun after `wait_seconds` is refused, and so
    is one beside `max_waiting`.
    """

    def __init__(
        self,
        open_rows: Callable[[int, Ids], AbstractContextManager[Rows]],
        detokenizer: Detokenizer,
        *,
        max_rows: int,
        wait_seconds: float,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        self._open_rows = open_rows
        self._detokenizer = detokenizer
        self._max_rows = max_rows
        self._wait_seconds = wait_seconds
        self._max_waiting = max_waiting
        self._jobs: list[Job] = []
        self._changed = Condition()
        self._thread: Thread | None = None

    def __len__(self) -> int:
        """Requests of which a text waits."""
        return len(self._jobs)

    def run(
        self, prompts: Sequence[Ids], sources: Sequence[Ids | None], options: Sequence[DecodingOptions]
    ) -> Generator[TokenEvent]:
        """Events as of `loop.generate`. Closing the iterator frees the rows. Raises InputError (429) when busy."""
        # Rows are made here, where options that cannot be followed are told to who sent them.
        wanted = deque(
            Wanted(prompt, source, len(prompt) + own.max_new_tokens, Row(place, prompt, own, self._detokenizer))
            for place, (prompt, source, own) in enumerate(zip(prompts, sources, options, strict=True))
        )
        job = Job(wanted, monotonic() + self._wait_seconds)
        left = len(wanted)
        self._submit(job)
        try:
            while left:
                event = job.events.get()
                if isinstance(event, Exception):
                    raise event
                left -= event.finish is not None
                yield event
        finally:
            job.over = True

    def _submit(self, job: Job) -> None:
        with self._changed:
            if len(self._jobs) >= self._max_waiting:
                raise _busy(f"{len(self._jobs)} requests that wait")
            self._jobs.append(job)
            if self._thread is None:
                self._thread = Thread(target=self._work, name="writing", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def _work(self) -> None:
        stay()
        while True:
            with self._changed:
                while not self._jobs:
                    self._changed.wait()
            job = self._next()
            if job is None:
                continue
            texts: dict[int, Text] = {}
            try:
                with self._open_rows(job.waiting[0].tokens, job.waiting[0].prompt) as rows:
                    self._write(rows, texts)
            except Exception as error:  # no room for the first, or a step that failed: whose fault is not known
                for concerned in {job, *(text.job for text in texts.values())}:
                    concerned.fail(error)

    def _write(self, rows: Rows, texts: dict[int, Text]) -> None:
        """Until no text is under way."""
        while True:
            for row in [row for row, text in texts.items() if text.job.over]:
                self._leave(rows, texts, row)
            self._join(rows, texts)
            if not texts:
                return
            scores = rows.advance({row: text.token for row, text in texts.items()})
            self._take(rows, texts, list(texts), scores)

    def _join(self, rows: Rows, texts: dict[int, Text]) -> None:
        """Read the next prompt, if there is one, a free row and room for it."""
        job = self._next()
        row = next((row for row in range(self._max_rows) if row not in texts), None)
        # Who does not fit is waited for: nobody smaller goes before.
        if job is None or row is None or not rows.admits(row, job.waiting[0].tokens):
            return
        with self._changed:
            wanted = job.waiting.popleft()
            job.running, job.begun = job.running + 1, True
            if not job.waiting:
                self._jobs.remove(job)
        texts[row] = Text(job, wanted.row)
        try:
            scores = rows.begin(row, wanted.prompt, wanted.source)
        except Exception as error:  # this prompt's failure is no other's
            job.fail(error)
            self._leave(rows, texts, row)
        else:
            self._take(rows, texts, [row], scores)

    def _take(self, rows: Rows, texts: dict[int, Text], scored: Sequence[int], scores: RowScores) -> None:
        """The next token of each text that was computed; those that end leave."""
        likeliest: Mapping[int, tuple[int, float]] = {}
        if any(texts[row].row.may_take_likeliest for row in scored):
            likeliest = {row: best for row, best in scores.likeliest().items() if texts[row].row.takes(best[0])}
        for row in scored:
            if not texts[row].take(row, scores, likeliest):
                self._leave(rows, texts, row)

    def _leave(self, rows: Rows, texts: dict[int, Text], row: int) -> None:
        texts.pop(row).job.running -= 1
        rows.end(row)

    def _next(self) -> Job | None:
        """Whose text is to begin next; those that nobody waits for, or that waited too long, are dropped."""
        now = monotonic()
        with self._changed:
            for job in self._jobs:
                if not job.begun and not job.over and job.deadline < now:
                    job.fail(_busy(f"others, and no room within {self._wait_seconds:g} s"))
            self._jobs = [job for job in self._jobs if job.waiting and not job.over]
            # The first of equals is the oldest.
            return min(self._jobs, key=lambda job: job.running, default=None)


def _busy(beside: str) -> InputError:
    return InputError(
        f"the model is busy: got a request beside {beside}. Try again later.", status=429, error_type="overloaded"
    )
