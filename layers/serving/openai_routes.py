"""OpenAI's API: embeddings, completions, chats and models, for clients written for it.

The same routes stand under `/models/NAME`, where Hugging Face's clients look for them when a model's URL is given.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response

from layers.runtime.predictor import Predictor
from layers.serving.answering import Answering, Question
from layers.serving.answers import json_answer
from layers.serving.bodies import allows_cache, read_json
from layers.serving.models import Models
from layers.serving.openai_answers import Chats, Completions, embeddings
from layers.serving.openai_bodies import WritingBody, read_chat, read_completion, read_embedding, read_input
from layers.serving.openai_failures import OpenAIRoute
from layers.serving.openai_schema import CHAT_REQUEST, COMPLETION_REQUEST, EMBEDDINGS_REQUEST


@dataclass(frozen=True, slots=True)
class Kind:
    """What writes: how a body is read, which task answers, and in which shapes."""

    read: Callable[[Mapping[str, Any]], WritingBody]
    task: str
    shapes: type[Completions]


COMPLETION = Kind(read_completion, "completion", Completions)
CHAT = Kind(read_chat, "chat", Chats)


def openai_routes(models: Models, answering: Answering) -> APIRouter:
    """/v1/embeddings, /v1/completions, /v1/chat/completions and /v1/models, each under /models/NAME too."""
    router = APIRouter(route_class=OpenAIRoute)
    _add_writing(router, models, answering)
    _add_embeddings(router, models, answering)
    _add_models(router, models)

    # Or the rest of the path would be read as a model's name, and refused as the Hub's clients read it.
    @router.api_route("/models/{name:path}/v1/{rest:path}", methods=["GET", "POST"], include_in_schema=False)
    async def unknown() -> Response:
        raise HTTPException(404)

    return router


def _add_writing(router: APIRouter, models: Models, answering: Answering) -> None:
    async def write(request: Request, kind: Kind, name: str | None = None) -> Response:
        started = perf_counter()
        body = kind.read(await read_json(request, models.settings.max_body_bytes))
        predictor = _chosen(models, name, body.envelope.model, "text-generation")
        question = Question(predictor, body.inputs, body.parameters, kind.task, allows_cache(request), started)
        shape = kind.shapes(predictor)
        if not body.envelope.stream:
            return await answering.answer(question, shape.answer)
        options, choices = body.envelope.stream_options, body.parameters.get("n")
        return await answering.stream(
            question,
            shape.stream(
                logprobs=body.parameters.get("logprobs") is not None,
                include_usage=options is not None and options.include_usage,
                choices=choices if isinstance(choices, int) else 1,
            ),
        )

    @router.post("/v1/completions", openapi_extra=COMPLETION_REQUEST, response_class=Response)
    async def completions(request: Request) -> Response:
        """Prompts continued."""
        return await write(request, COMPLETION)

    @router.post("/models/{name:path}/v1/completions", openapi_extra=COMPLETION_REQUEST, response_class=Response)
    async def completions_with(request: Request, name: str) -> Response:
        """Prompts continued by the model of that name."""
        return await write(request, COMPLETION, name)

    @router.post("/v1/chat/completions", openapi_extra=CHAT_REQUEST, response_class=Response)
    async def chats(request: Request) -> Response:
        """The assistant's next message, by the checkpoint's chat template."""
        return await write(request, CHAT)

    @router.post("/models/{name:path}/v1/chat/completions", openapi_extra=CHAT_REQUEST, response_class=Response)
    async def chats_with(request: Request, name: str) -> Response:
        """The next message of the model of that name."""
        return await write(request, CHAT, name)


def _add_embeddings(router: APIRouter, models: Models, answering: Answering) -> None:
    async def embed(request: Request, name: str | None = None) -> Response:
        started = perf_counter()
        body = read_embedding(await read_json(request, models.settings.max_body_bytes))
        predictor = _chosen(models, name, body.model, "embed")
        parameters = {"encoding_format": body.encoding_format, "dimensions": body.dimensions}
        question = Question(predictor, read_input(body.input), parameters, "embed", allows_cache(request), started)
        return await answering.answer(question, lambda prediction: embeddings(prediction, predictor.manifest.name))

    @router.post("/v1/embeddings", openapi_extra=EMBEDDINGS_REQUEST, response_class=Response)
    async def embeddings_of(request: Request) -> Response:
        """One pooled vector of length 1 a text."""
        return await embed(request)

    @router.post("/models/{name:path}/v1/embeddings", openapi_extra=EMBEDDINGS_REQUEST, response_class=Response)
    async def embeddings_with(request: Request, name: str) -> Response:
        """One pooled vector of length 1 a text, by the model of that name."""
        return await embed(request, name)


def _add_models(router: APIRouter, models: Models) -> None:
    created = int(time.time())

    def described(name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": created, "owned_by": "hundredfold"}

    def listed(names: Iterable[str]) -> Response:
        return json_answer({"object": "list", "data": [described(name) for name in names]})

    @router.get("/v1/models", response_class=Response)
    async def served() -> Response:
        """Every model by its name."""
        return listed(models.served)

    @router.get("/models/{name:path}/v1/models", response_class=Response)
    async def served_with(name: str) -> Response:
        """The model of that name alone, as a client of its URL sees it."""
        return listed([models.named(name).manifest.name])

    @router.get("/v1/models/{name:path}", response_class=Response)
    async def one(name: str) -> Response:
        """One model."""
        return json_answer(described(models.named(name).manifest.name))


def _chosen(models: Models, in_path: str | None, in_body: str | None, task: str) -> Predictor:
    return models.chosen(in_body, task) if in_path is None else models.named(in_path, task)
