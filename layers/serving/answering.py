"""The one place through which every route asks a model, so that what holds for all of them is done once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from fastapi import Response

from layers.runtime.predictor import Predictor
from layers.runtime.run import Prediction
from layers.runtime.settings import Settings
from layers.serving.answers import prediction_answer

Shape = Callable[[Prediction], Any]


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


class Answering:
    """Asks models for an application; made once, by `create_app`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def answer(self, question: Question, shape: Shape | None = None) -> Response:
        """The prediction's value, or what `shape` makes of the prediction, with headers that say what it took.

        Raises InputError and ModelOutputError as `Predictor.predict`.
        """
        prediction = self._predict(question)
        value = prediction.value if shape is None else shape(prediction)
        return prediction_answer(value, prediction, question.started)

    # In line, on the event loop: handing a request to a thread costs 0.7 ms, and a Lambda environment has one
    # request at a time.
    def _predict(self, question: Question) -> Prediction:
        return question.predictor.predict(
            question.inputs, question.parameters, task=question.task, max_inputs=self._settings.max_batch_size
        )
