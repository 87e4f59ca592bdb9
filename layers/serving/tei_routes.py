"""The routes of text-embeddings-inference, for clients written for it."""

from __future__ import annotations

from time import perf_counter
from typing import Any

from fastapi import APIRouter, Request, Response

from layers.errors import InputError
from layers.runtime.run import Prediction
from layers.runtime.tasks.task import kind
from layers.serving.answering import Answering, Question
from layers.serving.bodies import read_task
from layers.serving.failures import GuardedRoute
from layers.serving.models import Models
from layers.serving.schema import EMBED_REQUEST, PREDICT_REQUEST

Sequence = str | dict[str, Any]


def tei_routes(models: Models, answering: Answering) -> APIRouter:
    """POST /embed and /predict."""
    router = APIRouter(route_class=GuardedRoute)

    @router.post("/embed", openapi_extra=EMBED_REQUEST, response_class=Response)
    async def embed(request: Request) -> Response:
        """One pooled vector a text, unit length unless `normalize` is false."""
        started = perf_counter()
        body = await read_task(request, models.settings.max_body_bytes)
        model = models.only("embed")
        return await answering.answer(Question(model, body.inputs, body.parameters, "embed", body.use_cache, started))

    @router.post("/predict", openapi_extra=PREDICT_REQUEST, response_class=Response)
    async def predict(request: Request) -> Response:
        """Every label with its score, best first: a list for a text or a pair, a list of lists for several."""
        started = perf_counter()
        body = await read_task(request, models.settings.max_body_bytes)
        inputs, is_batch = _read_sequences(body.inputs)
        model, parameters = models.only("text-classification"), _as_classification(body.parameters)
        return await answering.answer(
            Question(model, inputs, parameters, "text-classification", body.use_cache, started),
            None if is_batch else _only_value,
        )

    return router


def _only_value(prediction: Prediction) -> Any:
    [value] = prediction.value
    return value


def _read_sequences(inputs: Any) -> tuple[list[Sequence], bool]:
    """TEI's reading: "a" and ["a", "b"] are one input (a text, a pair), [["a"], ["a", "b"]] several."""
    if isinstance(inputs, str):
        return [inputs], False
    if isinstance(inputs, list) and all(isinstance(item, list) for item in inputs):
        return [_sequence(item) for item in inputs], True
    if isinstance(inputs, list):
        return [_sequence(inputs)], False
    raise InputError(f"inputs: got {kind(inputs)}, expected a string, a pair of strings or a list of such lists.")


def _sequence(item: list[Any]) -> Sequence:
    if not all(isinstance(text, str) for text in item) or len(item) not in (1, 2):
        raise InputError("inputs: expected one or two strings for each input.")
    return item[0] if len(item) == 1 else {"text": item[0], "text_pair": item[1]}


def _as_classification(parameters: dict[str, Any]) -> dict[str, Any]:
    rest = {key: value for key, value in parameters.items() if key != "raw_scores"}
    raw_scores = parameters.get("raw_scores", False)
    if not isinstance(raw_scores, bool):
        raise InputError(f"parameter 'raw_scores': got {kind(raw_scores)}, expected a boolean.")
    return {"top_k": None, **rest, **({"function_to_apply": "none"} if raw_scores else {})}
