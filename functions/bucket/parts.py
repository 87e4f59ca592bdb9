"""The results of an object as they grow: parts in a row, each of which says where the next one begins.

PREFIX/KEY/RUN/OFFSET.jsonl holds the results of the rows from OFFSET on. A part is created only if it is not there yet,
and its metadata hold the place behind it and the sums up to there. So the parts themselves are the state of the work:
whoever goes on, after a crash or a duplicate event, goes on behind the last part, and of two at work on the same part
one is kept and the other one's is dropped.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace

from functions.bucket.rows import Place
from functions.bucket.store import ObjectStore

# The place behind the last part; a document's is 2**53.
OFFSET_DIGITS = 16
METADATA = "progress"


@dataclass(frozen=True, slots=True)
class Progress:
    """Where the next part begins, and sums over all parts before it. `last_failed` is of the last part alone."""

    offset: int = 0
    line: int = 1
    records: int = 0
    failed: int = 0
    last_failed: int = 0
    tokens: int = 0
    truncated_records: int = 0
    generated_tokens: int = 0
    seconds: float = 0.0
    inference_seconds: float = 0.0

    @property
    def place(self) -> Place:
        """Where to read on."""
        return Place(self.offset, self.line)

    def behind(self, place: Place, line: PartLine) -> Progress:
        """With one more record done."""
        return replace(
            self,
            offset=place.offset,
            line=place.line,
            records=self.records + 1,
            failed=self.failed + line.failed,
            last_failed=self.last_failed + line.failed,
            tokens=self.tokens + line.tokens,
            truncated_records=self.truncated_records + line.truncated,
            generated_tokens=self.generated_tokens + line.generated_tokens,
            inference_seconds=self.inference_seconds + line.inference_seconds,
        )


@dataclass(frozen=True, slots=True)
class PartLine:
    """One record's line of results, and what is summed up of it."""

    body: bytes
    failed: bool
    tokens: int = 0
    truncated: bool = False
    generated_tokens: int = 0
    inference_seconds: float = 0.0


@dataclass(frozen=True)
class Parts:
    """The parts of one run over one object: `prefix` ends in the run's name and a slash."""

    store: ObjectStore
    bucket: str
    prefix: str

    def keys(self) -> list[str]:
        """In the order of the rows."""
        return [key for key in self.store.keys(self.bucket, self.prefix) if key.endswith(".jsonl")]

    def progress(self) -> Progress:
        """Behind the last part there is."""
        keys = self.keys()
        return self._read(keys[-1]) if keys else Progress()

    def read_progress(self, keys: list[str]) -> list[Progress]:
        """Of each part; one request each, some at a time."""
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(16) as readers:
            return list(readers.map(self._read, keys))

    def commit(self, start: Progress, lines: list[bytes], after: Progress) -> Progress:
        """Keep a part; the progress behind it, which is another's when another was quicker."""
        key = f"{self.prefix}{start.offset:0{OFFSET_DIGITS}d}.jsonl"
        metadata = {METADATA: json.dumps(asdict(after))}
        return after if self.store.create(self.bucket, key, b"".join(lines), metadata) else self._read(key)

    def _read(self, key: str) -> Progress:
        info = self.store.info(self.bucket, key)
        if info is None:
            raise RuntimeError(f"{key}: a part of the results is missing. Delete the folder of its run to begin anew.")
        return Progress(**json.loads(info.metadata[METADATA]))
