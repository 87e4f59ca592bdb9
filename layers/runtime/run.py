"""One prediction under way: what a task does its work with, and what is counted while it does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

from layers.artifact import Manifest
from layers.errors import InputError
from layers.runtime.engine import Engine, Outputs
from layers.runtime.tokenizer import Direction, Encoding, Strategy

TextPair = tuple[str, str | None]


@dataclass(frozen=True, slots=True)
class Prediction:
    """An answer that JSON can carry, and what it took. Times in milliseconds, tokens with special ones."""

    value: Any
    token_count: int
    truncated_tokens: int
    tokenization_ms: float
    inference_ms: float
    postprocessing_ms: float

    def only_value(self) -> Prediction:
        """The same, with the one element of its answer as the answer."""
        [value] = self.value
        return replace(self, value=value)


class Run:
    """Encodes and infers for one request; a task is a function of a run, the inputs and the parameters."""

    def __init__(self, engine: Engine, max_inputs: int | None = None) -> None:
        self._engine = engine
        self._max_inputs = max_inputs
        self._started = perf_counter()
        self._token_count = 0
        self._truncated_tokens = 0
        self._tokenization = 0.0
        self._inference = 0.0

    @property
    def manifest(self) -> Manifest:
        """Of the artifact that answers."""
        return self._engine.manifest

    @property
    def output_names(self) -> tuple[str, ...]:
        """What the graph can answer."""
        return self._engine.output_names

    def admit(self, count: int) -> None:
        """Raises InputError (422) for no inputs at all, or more than one request may carry."""
        if count == 0:
            raise InputError("inputs is empty: got 0 texts, expected at least 1.")
        if self._max_inputs is not None and count > self._max_inputs:
            raise InputError(f"too many inputs: got {count}, expected at most {self._max_inputs}. Send them in parts.")

    def encode(
        self,
        texts: Sequence[TextPair],
        *,
        truncate: bool = True,
        truncation_direction: Direction = "right",
        strategy: Strategy = "longest_first",
    ) -> list[Encoding]:
        """Encode texts or pairs, in order. Raises InputError as `TextTokenizer.encode` does."""
        started = perf_counter()
        encodings = [
            self._engine.tokenizer.encode(
                text, pair, truncate=truncate, truncation_direction=truncation_direction, strategy=strategy
            )
            for text, pair in texts
        ]
        self._token_count += sum(len(encoding) for encoding in encodings)
        self._truncated_tokens += sum(encoding.truncated_tokens for encoding in encodings)
        self._tokenization += perf_counter() - started
        return encodings

    def forward(self, encodings: Sequence[Encoding], outputs: Sequence[str] | None = None) -> list[Outputs]:
        """`Engine.forward`, timed."""
        started = perf_counter()
        answers = self._engine.forward(encodings, outputs)
        self._inference += perf_counter() - started
        return answers

    def finish(self, value: Any) -> Prediction:
        """The task's answer with what was counted. Whatever was neither tokenization nor inference is the rest."""
        total = perf_counter() - self._started
        return Prediction(
            value=value,
            token_count=self._token_count,
            truncated_tokens=self._truncated_tokens,
            tokenization_ms=1000 * self._tokenization,
            inference_ms=1000 * self._inference,
            postprocessing_ms=1000 * (total - self._tokenization - self._inference),
        )
