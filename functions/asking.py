"""Models as the queue and bucket functions ask them: loaded here, or behind an endpoint. The standard library alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from layers.runtime.request import Request


@dataclass(frozen=True, slots=True)
class Asked:
    """A request of the model named. `id` is what its record or row is known by."""

    model: str
    request: Request
    id: str = ""


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer, and what it took: times in milliseconds, `tokens` None where that is not known.

    `content` is the answer's part of a result: `outputs`, or where they will be.
    """

    content: Mapping[str, Any]
    tokens: int | None = None
    truncated_tokens: int = 0
    generated_tokens: int = 0
    tokenization_ms: float = 0.0
    inference_ms: float = 0.0
    postprocessing_ms: float = 0.0

    def fields(self) -> dict[str, Any]:
        """As a result carries it: no times, so that a redelivery writes the same bytes."""
        fields = dict(self.content)
        if self.tokens is not None:
            fields["tokens"] = self.tokens
        if self.truncated_tokens:
            fields["truncated_tokens"] = self.truncated_tokens
        if self.generated_tokens:
            fields["generated_tokens"] = self.generated_tokens
        return fields


Outcome = Answered | Exception


class Answering(Protocol):
    """What the queue and bucket functions need of models."""

    def name_of(self, model: str | None) -> str:
        """The model that is meant; the only one when none is named. Raises InputError (404)."""

    def answer(self, asked: Sequence[Asked]) -> list[Outcome]:
        """One outcome each, in order."""
