"""A bucket function over a fake model and folders, and what tests do with it."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

from functions.bucket.folder_store import FolderStore
from functions.bucket.function import BucketFunction, Place
from functions.bucket.object_work import Limits
from functions.bucket.rows import Reading
from functions.emf import Metrics
from functions.redelivery import Delays
from tests.functions.conftest import read_event
from tests.functions.fakes import FakeModels

BUCKET = "toy-texts"


@dataclass
class Setup:
    """A function over folders, and what tests do with it."""

    directory: Path
    models: FakeModels = field(default_factory=FakeModels)
    handed_on: list[dict[str, Any]] = field(default_factory=list)
    limits: Limits = field(default_factory=lambda: Limits(60.0, 2**20))
    whole_text: bool = False
    parameters: Mapping[str, Any] = field(default_factory=dict)
    has_queue: bool = True
    digest: str = "d1"
    redelivered: list[tuple[str, int]] = field(default_factory=list)

    @property
    def function(self) -> BucketFunction:
        def hand_on(event: dict[str, Any], _: str | None) -> bool:
            self.handed_on += [event] if self.has_queue else []
            return self.has_queue

        def redeliver(delays: Delays, _: float) -> None:
            self.redelivered += [(receipt.handle, seconds) for receipt, seconds in delays]

        store = FolderStore(self.directory)
        return BucketFunction(
            store, store, Place(None, "results/"), self.models, "toy", {"digest": self.digest},
            Reading("text", self.parameters, 1000, self.whole_text), self.limits, hand_on,
            Metrics("bucket", io.StringIO()), 2.0, redeliver,
        )  # fmt: skip

    def put(self, key: str, content: bytes | str) -> None:
        path = self.directory / BUCKET / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)

    def handle(self, key: str, context: Any = None, **described: str) -> str:
        answer = self.function.handle(event_of(key, **described), context)
        return str(answer["objects"][0]["status"])

    def summary(self, key: str) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.results(key) / "summary.json").read_text(encoding="utf-8"))
        return content

    def results(self, key: str) -> Path:
        return self.directory / BUCKET / "results" / key

    def lines(self, key: str) -> list[dict[str, Any]]:
        """The results that the summary names, in order."""
        parts = [self.directory / BUCKET / part for part in self.summary(key)["parts"]]
        return [json.loads(line) for part in parts for line in part.read_text(encoding="utf-8").splitlines()]

    def outputs(self, key: str) -> list[tuple[int, Any, Any]]:
        """Line, id, and the output or the type of the error."""
        return [(r["line"], r.get("id"), r.get("outputs") or r["error_type"]) for r in self.lines(key)]


def event_of(key: str, **described: str) -> dict[str, Any]:
    event = read_event("s3")
    event["Records"][0]["s3"]["object"].update(key=quote_plus(key), **described)
    return event
