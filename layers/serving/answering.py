"""The one place through which every route asks a model, so that what holds for all of them is done once."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import aclosing, closing
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Self, TypeVar

from fastapi import Response

from layers.errors import InputError
from layers.runtime.predictor import Predictor
from layers.runtime.run import Prediction, StreamEvent
from layers.runtime.settings import Settings
from layers.serving.answers import compute_type, prediction_answer
from layers.serving.event_stream import EventStream
from layers.serving.metrics import Metrics
from layers.serving.response_cache import ResponseCaches, response_key
from layers.serving.workers import workers_for

Shape = Callable[[Prediction], Any]
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Question:
    """What one request asks of one model. `task` None is the model's own; `started` is a `perf_counter` reading.

    `use_cache` is what the caller allows, in the body's options or the header `x-use-cache`.
    """

    predictor: Predictor
    inputs: Any
    parameters: Mapping[str, Any] = field(default_factory=dict)
    task: str | None = None
    use_cache: bool = True
    started: float = field(default_factory=perf_counter)


@dataclass(frozen=True, slots=True)
class StreamShape:
    """How a stream is sent: `events` makes server-sent events of tokens, `failed` one of an error in their midst."""

    events: Callable[[Generator[StreamEvent]], Generator[bytes]]
    failed: Callable[[Exception], bytes]


class Admission:
    """Counts the requests that are answered or wait for a worker, and refuses those that are too many."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._count = 0

    def __enter__(self) -> Self:
        """Raises InputError (429)."""
        if self._count >= self._limit:
            raise InputError(
                f"too many requests: got one beside {self._limit}, which is the most at a time. Try again later.",
                status=429,
                error_type="overloaded",
            )
        self._count += 1
        return self

    def __exit__(self, *_: object) -> None:
        self._count -= 1


class Answering:
    """Asks models for an application; made once, by `create_app`. Called on one event loop only."""

    def __init__(self, settings: Settings, responses: ResponseCaches, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._responses = responses
        self._admission = Admission(settings.max_concurrent_requests)
        self._workers = workers_for(settings.workers)

    async def answer(self, question: Question, shape: Shape | None = None) -> Response:
        """The prediction's value, or what `shape` makes of the prediction, with headers that say what it took.

        Raises InputError and ModelOutputError as `Predictor.predict`, and InputError (429) beyond the limit.
        """
        self._metrics.asks(question.predictor, question.task)
        asked = perf_counter()
        prediction, begun = await self.run(lambda: self._predict(question))
        self._metrics.predicted(question.predictor, question.task, prediction, begun - asked)
        value = prediction.value if shape is None else shape(prediction)
        computed_by = compute_type(question.predictor)
        return prediction_answer(value, prediction, question.started, 1000 * (begun - asked), computed_by)

    async def stream(self, question: Question, shape: StreamShape) -> Response:
        """The answer token by token. Raises as `answer` until the first token is there."""
        self._metrics.asks(question.predictor, question.task)
        headers = {"x-compute-type": compute_type(question.predictor)}
        events = self._events(question, shape, headers)
        first = await anext(events)
        return EventStream(first, events, shape.failed, headers)

    async def run(self, work: Callable[[], Result]) -> Result:
        """Any other work that takes time, counted and placed like predictions."""
        with self._admission:
            return await self._workers.run(work)

    def _predict(self, question: Question) -> tuple[Prediction, float]:
        begun = perf_counter()
        predictor, task, most = question.predictor, question.task, self._settings.max_batch_size
        cache = self._responses.of(predictor)
        key = None
        if question.use_cache and cache.enabled:
            key = response_key(predictor, task, question.inputs, question.parameters, self._settings)
        prediction = cache.find(key) if key else None
        if prediction is None:
            prediction = predictor.predict(question.inputs, question.parameters, task=task, max_inputs=most)
            if key:
                cache.keep(key, prediction)
        return prediction, begun

    async def _events(self, question: Question, shape: StreamShape, headers: dict[str, str]) -> AsyncGenerator[bytes]:
        def start() -> Generator[bytes]:
            tokens = question.predictor.predict_stream(question.inputs, question.parameters, task=question.task)
            counted = self._metrics.streamed(question.predictor, question.task, question.started, tokens)
            return shape.events(_telling_cut(counted, headers))

        with self._admission:
            async with aclosing(self._workers.stream(start)) as events:
                async for event in events:
                    yield event


def _telling_cut(events: Generator[StreamEvent], headers: dict[str, str]) -> Generator[StreamEvent]:
    """The events; what was cut off the input is among the headers when the first is there."""
    with closing(events):
        for event in events:
            if event.truncated_tokens:
                headers["x-truncated-tokens"] = str(event.truncated_tokens)
            yield event
