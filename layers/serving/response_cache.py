"""Answers that were given before, by everything they depend on: in memory, and in a table where one is configured.

A request is one entry, whatever it holds: a batch is answered from the cache only as the same batch, in the same order.
No text's answer is ever taken from other company, so this holds for every variant, row-independent or not.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from hashlib import sha256
from typing import Any, Protocol

from pydantic_core import from_json, to_json

from layers.runtime.cache import ByteBoundedCache, CacheReport
from layers.runtime.predictor import Predictor
from layers.runtime.run import Prediction
from layers.runtime.settings import Settings
from layers.serving.release import RELEASE

# A key, its place in the dictionary and the objects around an answer's bytes.
ENTRY_OVERHEAD_BYTES = 500
KEPT = ("value", "token_count", "truncated_tokens", "generated_tokens", "text_count")


class SharedAnswers(Protocol):
    """Where answers outlive this process. Neither method raises: what is lost is missed."""

    def find(self, key: str) -> bytes | None:
        """The answer kept under this key, or None."""

    def keep(self, key: str, answer: bytes) -> None:
        """Keep an answer, unless there is one already."""

    def report(self) -> CacheReport:
        """Counts since the start."""


class ResponseCache:
    """The answers of one model. Safe between threads; with 0 bytes and nothing shared it does nothing."""

    def __init__(self, capacity_bytes: int, shared: SharedAnswers | None = None) -> None:
        self._memory: ByteBoundedCache[str, bytes] = ByteBoundedCache(capacity_bytes)
        self._shared = shared
        self.enabled = capacity_bytes > 0 or shared is not None

    def find(self, key: str) -> Prediction | None:
        """The prediction kept under this key; it took no time, and its tokens are those of the first answer."""
        answer = self._memory.get(key)
        if answer is None and self._shared is not None:
            answer = self._shared.find(key)
            if answer is not None:
                self._remember(key, answer)
        if answer is None:
            return None
        return Prediction(
            **from_json(answer), tokenization_ms=0.0, inference_ms=0.0, postprocessing_ms=0.0, from_cache=True
        )

    def keep(self, key: str, prediction: Prediction) -> None:
        """Keep what would be answered again; not what was drawn by a seed that nobody sent, or what tells the time."""
        if not prediction.repeatable:
            return
        answer = to_json({name: getattr(prediction, name) for name in KEPT})
        self._remember(key, answer)
        if self._shared is not None:
            self._shared.keep(key, answer)

    def reports(self) -> dict[str, CacheReport]:
        """Of the memory, and of what is shared where something is."""
        shared = {"responses_shared": self._shared.report()} if self._shared is not None else {}
        return {"responses": self._memory.report(), **shared}

    def _remember(self, key: str, answer: bytes) -> None:
        self._memory.put(key, answer, len(answer) + ENTRY_OVERHEAD_BYTES)


class ResponseCaches:
    """A cache for each model that one application serves, over one table where one is configured."""

    def __init__(self, predictors: Iterable[Predictor], settings: Settings) -> None:
        shared: SharedAnswers | None = None
        if settings.response_cache_table is not None:
            from layers.serving.shared_answers import TableAnswers

            shared = TableAnswers(settings.response_cache_table, settings.response_cache_ttl_seconds)
        capacity = settings.response_cache_bytes
        self._caches = {predictor.manifest.name: ResponseCache(capacity, shared) for predictor in predictors}

    def of(self, predictor: Predictor) -> ResponseCache:
        """That of one model."""
        return self._caches[predictor.manifest.name]


def response_key(
    predictor: Predictor, task: str | None, inputs: Any, parameters: Mapping[str, Any], settings: Settings
) -> str | None:
    """The sha256 of everything an answer depends on; None for what is nested too deeply to be written again.

    That is the artifact, the variant, this release, the limits, the memory for keys and values (how much is written
    where the caller does not say), the task, and inputs and parameters with their keys sorted. 1, 1.0 and true are
    different parameters.
    """
    question = {
        "artifact": predictor.manifest.digest,
        "variant": predictor.variant.name,
        "release": RELEASE,
        "limits": {"inputs": settings.max_batch_size, **asdict(predictor.limits)},
        "memory": [settings.kv_cache_bytes, settings.max_generations],
        "task": task or predictor.manifest.task,
        "inputs": inputs,
        "parameters": dict(parameters),
    }
    try:
        # ASCII only: half a surrogate pair has no UTF-8, and is refused later by name.
        canonical = json.dumps(question, sort_keys=True, separators=(",", ":"))
    except RecursionError:
        return None
    return sha256(canonical.encode("ascii")).hexdigest()
