"""The models that one environment has loaded, asked for many records at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from functions.asking import Answered, Asked, Outcome
from layers.errors import InputError
from layers.runtime.predictor import Predictor
from layers.runtime.run import Prediction
from layers.runtime.together import TogetherPredictor


class LoadedModels:
    """Predictors, by name."""

    def __init__(self, predictors: Mapping[str, Predictor], max_inputs: int) -> None:
        self.predictors = predictors
        self._together = {name: TogetherPredictor(predictor) for name, predictor in predictors.items()}
        self._max_inputs = max_inputs

    def name_of(self, model: str | None) -> str:
        """As `Answering`."""
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
        """As `Answering`; requests of one model are predicted together."""
        outcomes: dict[int, Outcome] = {}
        for name in dict.fromkeys(one.model for one in asked):
            places = [place for place, one in enumerate(asked) if one.model == name]
            requests = [asked[place].request for place in places]
            answers = self._together[name].predict(requests, self._max_inputs)
            outcomes.update(zip(places, map(_outcome, answers), strict=True))
        return [outcomes[place] for place in range(len(asked))]


def _outcome(prediction: Prediction | Exception) -> Outcome:
    if isinstance(prediction, Exception):
        return prediction
    return Answered(
        {"outputs": prediction.value},
        prediction.token_count,
        prediction.truncated_tokens,
        prediction.generated_tokens,
        prediction.tokenization_ms,
        prediction.inference_ms,
        prediction.postprocessing_ms,
    )
