"""The models of one environment, asked for many records at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from layers.errors import InputError
from layers.runtime.predictor import Predictor
from layers.runtime.run import Prediction
from layers.runtime.together import Request, TogetherPredictor

Outcome = Prediction | Exception


@dataclass(frozen=True, slots=True)
class Asked:
    """A request of the model named."""

    model: str
    request: Request


class Answering(Protocol):
    """What the queue and bucket functions need of models."""

    def name_of(self, model: str | None) -> str:
        """The model that is meant; the only one when none is named. Raises InputError (404)."""

    def answer(self, asked: Sequence[Asked]) -> list[Outcome]:
        """One outcome each, in order."""


class LoadedModels:
    """Predictors, by name."""

    def __init__(self, predictors: Mapping[str, Predictor], max_inputs: int) -> None:
        self.predictors = predictors
        self._together = {name: TogetherPredictor(predictor) for name, predictor in predictors.items()}
        self._max_inputs = max_inputs

    def name_of(self, model: str | None) -> str:
        """As the protocol says."""
        served = f"Served here: {', '.join(self.predictors)}."
        if model is None:
            if len(self.predictors) > 1:
                raise InputError(
                    f"several models are served here: name one as model. {served}",
                    status=404,
                    error_type="unknown_model",
                )
            return next(iter(self.predictors))
        if model not in self.predictors:
            raise InputError(f"unknown model {model!r}: {served}", status=404, error_type="unknown_model")
        return model

    def answer(self, asked: Sequence[Asked]) -> list[Outcome]:
        """As the protocol says; requests of one model are predicted together."""
        outcomes: dict[int, Outcome] = {}
        for name in dict.fromkeys(one.model for one in asked):
            places = [place for place, one in enumerate(asked) if one.model == name]
            answers = self._together[name].predict([asked[place].request for place in places], self._max_inputs)
            outcomes.update(zip(places, answers, strict=True))
        return [outcomes[place] for place in range(len(asked))]
