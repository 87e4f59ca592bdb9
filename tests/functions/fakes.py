"""Stand-ins for a model and for the places that results and claims go to, in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from functions.asking import Answered, Asked, Outcome
from functions.idempotency import Claim
from functions.results import Result
from layers.errors import InputError


def upper(inputs: Any) -> Any:
    """The fake model's answer. Raises InputError for what is no text, ZeroDivisionError for "poison"."""
    if not isinstance(inputs, str):
        raise InputError("inputs: expected a string.")
    if inputs == "poison":
        raise ZeroDivisionError("the model failed")
    if inputs == "busy":
        raise InputError("the model is busy", status=429, error_type="overloaded")
    return inputs.upper()


@dataclass
class FakeModels:
    """Answers at once; keeps every group it was asked, and calls `before` ahead of each."""

    before: Callable[[], Any] = lambda: None
    groups: list[list[Any]] = field(default_factory=list)
    names: tuple[str, ...] = ("toy",)

    def name_of(self, model: str | None) -> str:
        if model is not None and model not in self.names:
            raise InputError(f"unknown model {model!r}", status=404, error_type="unknown_model")
        return model or self.names[0]

    def answer(self, asked: Sequence[Asked]) -> list[Outcome]:
        self.before()
        self.groups.append([one.request.inputs for one in asked])
        return [self._one(one.request.inputs) for one in asked]

    def _one(self, inputs: Any) -> Outcome:
        try:
            return Answered({"outputs": upper(inputs)}, len(inputs), 0, 0, 0.1, 0.1, 0.1)
        except Exception as error:
            return error


@dataclass
class MemorySink:
    """Keeps every publication in order; raises what `fails` gives for a result's id."""

    published: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    fails: dict[str, Exception] = field(default_factory=dict)

    def publish(self, result: Result) -> None:
        if result.id in self.fails:
            raise self.fails.pop(result.id)
        self.published.append((result.key, result.fields))

    @property
    def outputs(self) -> dict[str, Any]:
        return {key: fields.get("outputs") for key, fields in self.published}


class MemoryClaims:
    """Claims of one process."""

    def __init__(self) -> None:
        self.held: dict[str, str] = {}
        self._lock = Lock()

    def claim(self, key: str, seconds: float) -> Claim:
        assert seconds > 0
        with self._lock:
            state = self.held.setdefault(key, "new")
            if state == "new":
                self.held[key] = "elsewhere"
                return "mine"
            return "done" if state == "done" else "elsewhere"

    def complete(self, key: str) -> None:
        self.held[key] = "done"

    def release(self, key: str) -> None:
        del self.held[key]


class FakeContext:
    """Lambda's context with a clock of its own."""

    aws_request_id = "5e1b0f0a-0f7c-4c3f-9f57-8a6d7b8e9c10"

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def get_remaining_time_in_millis(self) -> int:
        return int(1000 * self.seconds)
