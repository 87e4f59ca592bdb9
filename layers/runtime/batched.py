"""A predictor whose requests, each on a thread of its own, are computed together as they come."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from layers.runtime.batcher import Batcher
from layers.runtime.engine import Engine
from layers.runtime.predictor import Predictor
from layers.runtime.request import NO_PARAMETERS
from layers.runtime.run import Prediction
from layers.runtime.settings import Settings
from layers.runtime.together import MetRun


class BatchedPredictor(Predictor):
    """Answers as `Predictor` does. For models that read; those that write join their rows in their engine."""

    def __init__(self, engine: Engine, batcher: Batcher) -> None:
        super().__init__(engine)
        self._batcher = batcher

    def predict(
        self,
        inputs: Any,
        parameters: Mapping[str, Any] = NO_PARAMETERS,
        *,
        task: str | None = None,
        max_inputs: int | None = None,
    ) -> Prediction:
        """As `Predictor.predict`, and InputError (429) when too many wait."""
        with self._batcher.attended() as attendance:
            return self.answer(MetRun(self.engine, attendance, max_inputs), inputs, parameters, task)


def batched(predictor: Predictor, settings: Settings) -> Predictor:
    """The predictor with its requests joined and warm, where settings ask for it and there is something to join.

    Texts are computed together only by a variant whose rows are independent; by another, one a run in order of age.
    """
    engine = predictor.engine
    if settings.batch_wait_ms is None or not isinstance(engine, Engine):
        return predictor
    batcher = Batcher(
        turn_tokens=engine.max_batch_tokens,
        wait_seconds=settings.batch_wait_ms / 1000,
        max_waiting=settings.max_concurrent_requests,
    )
    together = BatchedPredictor(engine, batcher)
    # On the thread that will run the graph.
    MetRun(engine, batcher, None).forward([engine.tokenizer.encode_uncached("warm up")])
    together.warmed = predictor.warmed
    return together
