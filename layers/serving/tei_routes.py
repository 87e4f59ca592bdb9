"""The routes of text-embeddings-inference, for clients written for it."""

from __future__ import annotations

from time import perf_counter
from typing import Any

from fastapi import APIRouter, Request, Response

from layers.errors import InputError
from layers.runtime.run import Prediction
from layers.serving.answering import Answering, Question
from layers.serving.bodies import allows_cache, read_json, read_task
from layers.serving.failures import GuardedRoute
from layers.serving.models import Models
from layers.serving.tei_schema import (
    DECODE_REQUEST,
    EMBED_ALL_REQUEST,
    EMBED_REQUEST,
    PREDICT_REQUEST,
    RERANK_REQUEST,
    SIMILARITY_REQUEST,
    TOKENIZE_REQUEST,
)
from layers.wording import kind, shown

Sequence = str | dict[str, Any]


def tei_routes(models: Models, answering: Answering) -> APIRouter:
    """Each route is answered by the only model that can."""
    router = APIRouter(route_class=GuardedRoute)
    _add_vectors(router, models, answering)
    _add_scores(router, models, answering)
    _add_tokens(router, models, answering)
    return router


def _add_vectors(router: APIRouter, models: Models, answering: Answering) -> None:
    """POST /embed, /embed_all and /similarity."""

    async def of_texts(request: Request, task: str, able: str) -> Response:
        started = perf_counter()
        body = await read_task(request, models.settings.max_body_bytes)
        model = models.only(able)
        return await answering.answer(Question(model, body.inputs, body.parameters, task, body.use_cache, started))

    @router.post("/embed", openapi_extra=EMBED_REQUEST, response_class=Response)
    async def embed(request: Request) -> Response:
        """One pooled vector a text, unit length unless `normalize` is false."""
        return await of_texts(request, "embed", "embed")

    @router.post("/embed_all", openapi_extra=EMBED_ALL_REQUEST, response_class=Response)
    async def embed_all(request: Request) -> Response:
        """One vector a token of every text."""
        return await of_texts(request, "embed_all", "embed")

    @router.post("/similarity", openapi_extra=SIMILARITY_REQUEST, response_class=Response)
    async def similarity(request: Request) -> Response:
        """One cosine a sentence."""
        return await of_texts(request, "sentence-similarity", "sentence-similarity")


def _add_scores(router: APIRouter, models: Models, answering: Answering) -> None:
    """POST /predict and /rerank."""
    max_bytes = models.settings.max_body_bytes

    @router.post("/predict", openapi_extra=PREDICT_REQUEST, response_class=Response)
    async def predict(request: Request) -> Response:
        """Every label with its score, best first: a list for a text or a pair, a list of lists for several."""
        started = perf_counter()
        body = await read_task(request, max_bytes)
        inputs, is_batch = _read_sequences(body.inputs)
        model, parameters = models.only("text-classification"), _as_classification(body.parameters)
        question = Question(model, inputs, parameters, "text-classification", body.use_cache, started)
        return await answering.answer(question, None if is_batch else _only_value)

    @router.post("/rerank", openapi_extra=RERANK_REQUEST, response_class=Response)
    async def rerank(request: Request) -> Response:
        """Every text's index with its score, best first."""
        started = perf_counter()
        content = await read_json(request, max_bytes)
        inputs = {name: content.pop(name) for name in ("query", "texts") if name in content}
        question = Question(models.only("rerank"), inputs, content, "rerank", allows_cache(request), started)
        return await answering.answer(question)


def _add_tokens(router: APIRouter, models: Models, answering: Answering) -> None:
    """POST /tokenize and /decode."""
    max_bytes = models.settings.max_body_bytes

    @router.post("/tokenize", openapi_extra=TOKENIZE_REQUEST, response_class=Response)
    async def tokenize(request: Request) -> Response:
        """Every text's tokens, with their places in it."""
        started = perf_counter()
        body = await read_task(request, max_bytes)
        question = Question(models.only(), body.inputs, body.parameters, "tokenize", use_cache=False, started=started)
        return await answering.answer(question)

    @router.post("/decode", openapi_extra=DECODE_REQUEST, response_class=Response)
    async def decode(request: Request) -> Response:
        """The texts of token ids."""
        started = perf_counter()
        content = await read_json(request, max_bytes)
        if "ids" not in content:
            raise InputError(f"body: got the keys {shown(list(content))}, expected ids.")
        ids = content.pop("ids")
        question = Question(models.only(), ids, content, "decode", use_cache=False, started=started)
        return await answering.answer(question)


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
    raw_scores = parameters.get("raw_scores")
    if raw_scores is not None and not isinstance(raw_scores, bool):
        raise InputError(f"parameter 'raw_scores': got {kind(raw_scores)}, expected a boolean.")
    return {"top_k": None, **rest, **({"function_to_apply": "none"} if raw_scores else {})}
