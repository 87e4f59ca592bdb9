"""PREFIX/KEY/summary.json: what became of an object, written once all of its results are there."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from functions.bucket.notices import Notice, is_older
from functions.bucket.parts import Parts, Progress
from functions.bucket.store import ObjectChangedError, ObjectGoneError, ObjectInfo, ObjectStore, read_whole
from layers.errors import InputError
from layers.serving.json_body import json_bytes

# Every failure has its line in the results; the summary lists so many.
LISTED_FAILURES = 1000
ATTEMPTS = 5


@dataclass(frozen=True)
class Facts:
    """What a summary says besides counts: the object, and what answered it."""

    notice: Notice
    info: ObjectInfo
    run: str
    model: dict[str, Any] = field(default_factory=dict)

    def fields(self) -> dict[str, Any]:
        """As JSON."""
        described = {
            "bucket": self.notice.bucket,
            "key": self.notice.key,
            "etag": self.info.etag,
            "sequencer": self.notice.sequencer,
            "bytes": self.info.size,
        }
        return {"object": described, "run": self.run, **self.model}


@dataclass(frozen=True)
class Summary:
    """The summary of one object, in the bucket where its results are."""

    store: ObjectStore
    bucket: str
    key: str

    def read(self) -> tuple[dict[str, Any], ObjectInfo | None]:
        """What it says; nothing when there is none yet."""
        for _ in range(ATTEMPTS):
            info = self.store.info(self.bucket, self.key)
            if info is None:
                return {}, None
            try:
                content: dict[str, Any] = json.loads(read_whole(self.store, self.bucket, self.key, info))
            except (ObjectChangedError, ObjectGoneError):
                continue
            return content, info
        raise RuntimeError(f"{self.key}: others keep writing it. The event will be tried again.")

    def write(self, facts: Facts, content: dict[str, Any]) -> bool:
        """Unless there is one of a later event. False when there is."""
        for _ in range(ATTEMPTS):
            present, info = self.read()
            if is_outdated(facts.notice, present):
                return False
            if self.store.replace(self.bucket, self.key, json_bytes({**content, **facts.fields()}), info):
                return True
        raise RuntimeError(f"{self.key}: others keep writing it. The event will be tried again.")


def is_outdated(notice: Notice, summary: dict[str, Any]) -> bool:
    """True when the summary is of an event that happened after this one."""
    sequencer = summary.get("object", {}).get("sequencer", "")
    return bool(notice.sequencer and sequencer and is_older(notice.sequencer, sequencer))


def refused_content(refusal: InputError, status: str = "refused") -> dict[str, Any]:
    """Why an object could not be read."""
    return {"status": status, "error": str(refusal), "error_type": refusal.error_type}


def complete_content(parts: Parts, progress: Progress, unreadable: InputError | None) -> dict[str, Any]:
    """Counts, failures and parts; `unreadable` is why the object could not be read to its end."""
    keys = parts.keys()
    failures = list_failures(parts, keys) if progress.failed else []
    return {
        **({"status": "complete"} if unreadable is None else refused_content(unreadable, "incomplete")),
        "counts": {
            "records": progress.records,
            "succeeded": progress.records - progress.failed,
            "failed": progress.failed,
            "truncated": progress.truncated_records,
        },
        "tokens": progress.tokens,
        "generated_tokens": progress.generated_tokens,
        "seconds": {"work": round(progress.seconds, 3), "inference": round(progress.inference_seconds, 3)},
        "failures": failures,
        "failures_not_listed": progress.failed - len(failures),
        "parts": keys,
    }


def list_failures(parts: Parts, keys: list[str]) -> list[dict[str, Any]]:
    """The first failures, in order of their lines; only parts that have some are read."""
    failures: list[dict[str, Any]] = []
    for key, progress in zip(keys, parts.read_progress(keys), strict=True):
        if not progress.last_failed:
            continue
        info = parts.store.info(parts.bucket, key)
        if info is None:
            continue
        for line in read_whole(parts.store, parts.bucket, key, info).splitlines():
            if b'"error"' not in line:
                continue
            record = json.loads(line)
            if "error" in record:
                failures.append(record)
            if len(failures) == LISTED_FAILURES:
                return failures
    return failures
