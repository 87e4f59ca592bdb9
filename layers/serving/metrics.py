"""What this process has answered since it started, counted where it happens; `exposition.py` writes it for Prometheus.

Counting is a few additions to dictionaries. Labels are names that exist here (routes, models, their tasks, statuses),
never what a caller wrote, so there are only so many.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Generator
from contextlib import closing
from contextvars import ContextVar
from dataclasses import dataclass, field
from threading import Lock
from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from layers.runtime.predictor import Predictor
from layers.runtime.run import Prediction, StreamEvent
from layers.runtime.tasks import UNLISTED
from layers.serving.event_stream import BROKEN_OFF

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
TEXTS = (1, 2, 4, 8, 16, 32, 64, 128)
NO_ROUTE = "none"


@dataclass(slots=True)
class Asked:
    """What a request turned out to ask; empty while it is not known, and for routes that ask no model."""

    model: str = ""
    task: str = ""


@dataclass(slots=True)
class Histogram:
    """Observations in buckets, each up to its bound and the last beyond all of them."""

    bounds: tuple[float, ...]
    counts: list[int] = field(init=False)
    total: float = 0.0

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def observe(self, value: float) -> None:
        """Count one."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class Metrics:
    """The counts of one application. Safe between threads."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.in_flight = 0
        self.requests: Counter[tuple[str, str, str, int]] = Counter()
        """By route, model, task and status."""
        self.broken_streams: Counter[tuple[str, str]] = Counter()
        """By model and task; their status was sent before and says 200."""
        self.stages: dict[tuple[str, str, str], Histogram] = {}
        """Seconds by stage, model and task."""
        self.texts: dict[tuple[str, str], Histogram] = {}
        """Texts a request, by model and task."""
        self.tokens: Counter[tuple[str, str]] = Counter()
        """By model and kind: `in`, `out`, or `truncated`."""
        self.truncations: Counter[str] = Counter()
        """Requests of which something was cut off, by model."""

    def asks(self, predictor: Predictor, task: str | None) -> None:
        """The request at hand is for this model; a task that it does not answer is no label."""
        asked = _asked.get(None)
        if asked is not None:
            asked.model, asked.task = predictor.manifest.name, _task_of(predictor, task)

    def predicted(self, predictor: Predictor, task: str | None, prediction: Prediction, queue_seconds: float) -> None:
        """Count an answer. One from the cache took no tokenization and no inference, and counts for neither."""
        model, name = predictor.manifest.name, _task_of(predictor, task)
        with self.lock:
            self._observe("queue", model, name, queue_seconds)
            if not prediction.from_cache:
                self._observe("tokenization", model, name, prediction.tokenization_ms / 1000)
                self._observe("inference", model, name, prediction.inference_ms / 1000)
            if prediction.text_count:
                self.texts.setdefault((model, name), Histogram(TEXTS)).observe(prediction.text_count)
            self.tokens[model, "in"] += prediction.token_count
            self.tokens[model, "out"] += prediction.generated_tokens
            self._count_truncated(model, prediction.truncated_tokens)

    def streamed(
        self, predictor: Predictor, task: str | None, started: float, events: Generator[StreamEvent]
    ) -> Generator[StreamEvent]:
        """The events of a stream, counted as they pass; `started` is a `perf_counter` reading."""
        model, name = predictor.manifest.name, _task_of(predictor, task)
        with closing(events):
            for place, event in enumerate(events):
                with self.lock:
                    if place == 0:
                        self._observe("first_token", model, name, perf_counter() - started)
                        self._count_truncated(model, event.truncated_tokens)
                    self.tokens[model, "out"] += 1
                    if event.end is not None and event.row == 0:
                        self.tokens[model, "in"] += event.end.input_length
                yield event

    def arrived(self) -> None:
        """A request has come."""
        with self.lock:
            self.in_flight += 1

    def answered(self, route: str, asked: Asked, status: int, seconds: float, *, broken_off: bool) -> None:
        """A request has been answered to the last byte, or given up."""
        with self.lock:
            self.in_flight -= 1
            if broken_off:
                self.broken_streams[asked.model, asked.task] += 1
            self.requests[route, asked.model, asked.task, status] += 1
            self._observe("total", asked.model, asked.task, seconds)

    def _count_truncated(self, model: str, count: int) -> None:
        if count:
            self.tokens[model, "truncated"] += count
            self.truncations[model] += 1

    def _observe(self, stage: str, model: str, task: str, seconds: float) -> None:
        self.stages.setdefault((stage, model, task), Histogram(SECONDS)).observe(seconds)


class RequestCounts:
    """The ASGI middleware that sees every request and its status, streams to their end included."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500

        async def send_observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        asked, started = Asked(), perf_counter()
        token = _asked.set(asked)
        self._metrics.arrived()
        try:
            await self._app(scope, receive, send_observed)
        finally:
            _asked.reset(token)
            # The template of the path, which the router leaves here.
            route = getattr(scope.get("route"), "path_format", NO_ROUTE)
            seconds = perf_counter() - started
            self._metrics.answered(route, asked, status, seconds, broken_off=BROKEN_OFF in scope)


# Set by the middleware for each request, filled by who knows.
_asked: ContextVar[Asked] = ContextVar("asked")


def _task_of(predictor: Predictor, task: str | None) -> str:
    name = task or predictor.manifest.task
    return name if name in predictor.tasks or name in UNLISTED else ""
