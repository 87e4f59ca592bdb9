"""The routes that Hugging Face's inference clients use: POST to the URL as it was given."""

from __future__ import annotations

from time import perf_counter
from typing import Any

from fastapi import APIRouter, Request, Response

from layers.runtime.predictor import Predictor
from layers.serving.answering import Answering, Question
from layers.serving.answers import json_answer
from layers.serving.bodies import read_task
from layers.serving.failures import GuardedRoute
from layers.serving.models import Models
from layers.serving.schema import TASK_REQUEST
from layers.serving.task_body import take_stream
from layers.serving.tgi_stream import tgi_stream


def hub_routes(models: Models, answering: Answering) -> APIRouter:
    """POST /, /models/NAME and /models/NAME/pipeline/TASK; GET of a model's /info and /health."""
    router = APIRouter(route_class=GuardedRoute)

    async def answer(request: Request, predictor: Predictor, task: str | None = None) -> Response:
        started = perf_counter()
        body = await read_task(request, models.settings.max_body_bytes)
        wanted, parameters = take_stream(body.parameters)
        task = task or _meant(predictor, body.inputs)
        question = Question(predictor, body.inputs, parameters, task, body.use_cache, started)
        if wanted:
            return await answering.stream(question, tgi_stream(parameters))
        return await answering.answer(question)

    @router.post("/", openapi_extra=TASK_REQUEST, response_class=Response)
    async def predict(request: Request) -> Response:
        """Answer with the only model there is."""
        return await answer(request, models.only())

    # Names may hold slashes, so what stands behind a name comes before the name alone.
    @router.post("/models/{name:path}/pipeline/{task}", openapi_extra=TASK_REQUEST, response_class=Response)
    async def predict_task_with(request: Request, name: str, task: str) -> Response:
        """Answer a task with the model of that name."""
        return await answer(request, models.named(name, task), task)

    @router.post("/models/{name:path}", openapi_extra=TASK_REQUEST, response_class=Response)
    async def predict_with(request: Request, name: str) -> Response:
        """Answer with the model of that name, its own task."""
        return await answer(request, models.named(name))

    @router.get("/models/{name:path}/health", response_class=Response)
    async def health(name: str) -> Response:
        """200 once the model is loaded, which it is before anything is served."""
        models.named(name)
        return json_answer({"status": "ok"})

    @router.get("/models/{name:path}", response_class=Response)
    @router.get("/models/{name:path}/info", response_class=Response)
    async def info(name: str) -> Response:
        """What the model is and what it takes."""
        return json_answer(models.describe(models.named(name)))

    return router


def _meant(predictor: Predictor, inputs: Any) -> str | None:
    """Of a model that embeds, the inputs say which of its two tasks is meant: one URL is all that clients know."""
    if "sentence-similarity" not in predictor.tasks:
        return None
    return "sentence-similarity" if isinstance(inputs, dict) else "feature-extraction"
