"""Several requests answered together, each exactly as it would be answered alone.

A task is a function that encodes, runs the graph and reads the answer. Here every request has a thread, which stops
where it would run the graph until the others have got there or are done. What they want is then run in one call, so
that texts of all of them are sorted by length and cut by the token budget. One request's failure is its own.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock
from time import perf_counter
from typing import Any, Protocol

from layers.runtime.alignment import Encoding
from layers.runtime.engine import Engine, Outputs
from layers.runtime.generation.continuation import Continuation, Prompt
from layers.runtime.generation.engine import GenerationEngine
from layers.runtime.generation.options import DecodingOptions
from layers.runtime.predictor import Predictor
from layers.runtime.request import MAX_TOGETHER, Request
from layers.runtime.run import Prediction, Run


class TogetherPredictor:
    """A predictor for groups of requests. Groups come one after the other, whichever thread asks."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        self._threads = ThreadPoolExecutor(MAX_TOGETHER, thread_name_prefix="together")
        self._turn = Lock()

    def predict(self, requests: Sequence[Request], max_inputs: int | None = None) -> list[Prediction | Exception]:
        """One outcome a request, in order: what `Predictor.predict` returns or raises, inputs bounded by `max_inputs`.

        Times of a prediction are its share of what was done together, by its number of texts.
        """
        outcomes: list[Prediction | Exception] = []
        with self._turn, self.predictor.held() as predictor:
            for start in range(0, len(requests), MAX_TOGETHER):
                outcomes += self._predict_group(predictor, requests[start : start + MAX_TOGETHER], max_inputs)
        return outcomes

    def _predict_group(
        self, predictor: Predictor, group: Sequence[Request], max_inputs: int | None
    ) -> list[Prediction | Exception]:
        meeting = Meeting(len(group))

        def answer(request: Request) -> Prediction | Exception:
            try:
                run = MetRun(predictor.engine, meeting, max_inputs)
                return predictor.answer(run, request.inputs, request.parameters, request.task)
            except Exception as error:  # the boundary: one request's failure is no other's
                return error
            finally:
                meeting.leave()

        if len(group) == 1:
            return [answer(group[0])]
        return list(self._threads.map(answer, group))


@dataclass(frozen=True, slots=True)
class Demand:
    """Work on some items that is done in one call for all demands of its `kind`; `do` gives one result an item."""

    kind: Hashable
    items: Sequence[Any]
    do: Callable[[Sequence[Any]], Sequence[Any]]
    done: Future[tuple[list[Any], float]] = field(default_factory=Future)


class Gathering(Protocol):
    """Where runs bring their demands."""

    def ask(self, demand: Demand) -> tuple[list[Any], float]:
        """The results of a demand's items, and its share of the seconds that they took; raises what doing it raised."""


class Meeting:
    """A gathering of so many runs. The last to come, or to leave, does the work of all."""

    def __init__(self, attending: int) -> None:
        self._attending = attending
        self._waiting: list[Demand] = []
        self._lock = Lock()

    def ask(self, demand: Demand) -> tuple[list[Any], float]:
        """As `Gathering.ask`."""
        with self._lock:
            self._waiting.append(demand)
            complete = self._complete()
        carry_out(complete)
        return demand.done.result()

    def leave(self) -> None:
        """One run fewer to wait for."""
        with self._lock:
            self._attending -= 1
            complete = self._complete()
        carry_out(complete)

    def _complete(self) -> list[Demand]:
        if len(self._waiting) < self._attending:
            return []
        complete, self._waiting = self._waiting, []
        return complete


def carry_out(demands: Sequence[Demand]) -> None:
    """Settle every demand: those of a kind in one call, and each alone where that fails."""
    by_kind: dict[Hashable, list[Demand]] = {}
    for demand in demands:
        by_kind.setdefault(demand.kind, []).append(demand)
    for alike in by_kind.values():
        try:
            _do(alike)
        except Exception:
            # Whose fault it was is not known: each one's work is done alone, and fails alone.
            for demand in alike:
                try:
                    _do([demand])
                except Exception as error:
                    demand.done.set_exception(error)


def _do(demands: Sequence[Demand]) -> None:
    items = [item for demand in demands for item in demand.items]
    started = perf_counter()
    results = demands[0].do(items)
    seconds = (perf_counter() - started) / max(1, len(items))
    start = 0
    for demand in demands:
        end = start + len(demand.items)
        demand.done.set_result((list(results[start:end]), seconds * len(demand.items)))
        start = end


class MetRun(Run):
    """A run that brings to a gathering what it would do alone."""

    def __init__(self, engine: Engine | GenerationEngine, gathering: Gathering, max_inputs: int | None) -> None:
        super().__init__(engine, max_inputs)
        self._gathering = gathering

    def forward(self, encodings: Sequence[Encoding], outputs: Sequence[str] | None = None) -> list[Outputs]:
        """As `Run.forward`."""
        names = None if outputs is None else tuple(outputs)
        answers: list[Outputs] = self._ask(
            ("forward", names), encodings, lambda items: self._reader.forward(items, names)
        )
        return answers

    def generate(self, prompts: Sequence[Prompt], options: Sequence[DecodingOptions]) -> list[list[Continuation]]:
        """As `Run.generate`; what runs together agrees in its beams."""
        pairs = list(zip(prompts, options, strict=True))
        beams = {own.num_beams for own in options}
        texts: list[list[Continuation]] = self._ask(
            ("generate", tuple(sorted(beams))),
            pairs,
            lambda items: self.writer.generate([prompt for prompt, _ in items], [own for _, own in items]),
        )
        self._count_written([text for several in texts for text in several], options)
        return texts

    def branch(self, prompt: Prompt, options: Sequence[DecodingOptions]) -> list[Continuation]:
        """As `Run.branch`; samples of one prompt are company enough, so prompts come one after the other."""
        asked = self._ask("branch", [(prompt, options)], lambda items: [self.writer.branch(*item) for item in items])
        texts: list[Continuation] = asked[0]
        self._count_written(texts, options)
        return texts

    def _ask(self, kind: Hashable, items: Sequence[Any], do: Callable[[Sequence[Any]], Sequence[Any]]) -> Any:
        started = perf_counter()
        results, seconds = self._gathering.ask(Demand(kind, items, do))
        self._inference += seconds
        # Waiting for others is no part of this run's time.
        self._started += perf_counter() - started - seconds
        return results
