"""The routes of text-generation-inference, for clients written for it."""

from __future__ import annotations

from time import perf_counter
from typing import Any

from fastapi import APIRouter, Request, Response

from layers.errors import InputError
from layers.runtime.run import Prediction
from layers.serving.answering import Answering, Question
from layers.serving.bodies import read_task
from layers.serving.failures import GuardedRoute
from layers.serving.models import Models
from layers.serving.schema import GENERATE_REQUEST
from layers.serving.task_body import take_stream
from layers.serving.tgi_stream import tgi_stream
from layers.wording import kind


def tgi_routes(models: Models, answering: Answering) -> APIRouter:
    """POST /generate and /generate_stream. The prompt is part of the text only where `return_full_text` says so."""
    router = APIRouter(route_class=GuardedRoute)

    async def question(request: Request, *, streams: bool) -> Question:
        started = perf_counter()
        body = await read_task(request, models.settings.max_body_bytes)
        if not isinstance(body.inputs, str):
            raise InputError(f"inputs: got {kind(body.inputs)}, expected a string.")
        stated, parameters = take_stream(body.parameters)
        if stated is not None and stated is not streams:
            instead = "/generate" if streams else "/generate_stream"
            got, expected = (str(flag).lower() for flag in (stated, streams))
            raise InputError(f"stream: got {got}, expected {expected}; or POST {instead}.", parameter="stream")
        if parameters.get("return_full_text") is None:
            parameters["return_full_text"] = False
        model = models.only("text-generation")
        return Question(model, body.inputs, parameters, "text-generation", body.use_cache, started)

    @router.post("/generate", openapi_extra=GENERATE_REQUEST, response_class=Response)
    async def generate(request: Request) -> Response:
        """One object for one prompt."""
        return await answering.answer(await question(request, streams=False), _first_text)

    @router.post("/generate_stream", openapi_extra=GENERATE_REQUEST, response_class=Response)
    async def generate_stream(request: Request) -> Response:
        """One server-sent event a token."""
        asked = await question(request, streams=True)
        return await answering.stream(asked, tgi_stream(asked.parameters))

    return router


def _first_text(prediction: Prediction) -> Any:
    return prediction.value[0]
