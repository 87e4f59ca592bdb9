"""The application: models by name in, one ASGI application out. Nothing is loaded here."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import FastAPI, Request, Response

from layers.runtime.predictor import Predictor
from layers.runtime.settings import Settings
from layers.serving.accept import wants_html
from layers.serving.answering import Answering
from layers.serving.answers import json_answer
from layers.serving.head_requests import HeadRequests
from layers.serving.hub_routes import hub_routes
from layers.serving.metrics import Metrics, RequestCounts
from layers.serving.models import Models
from layers.serving.no_route import install_failures
from layers.serving.openai_routes import openai_routes
from layers.serving.operations_routes import operations_routes
from layers.serving.response_cache import ResponseCaches
from layers.serving.tei_routes import tei_routes
from layers.serving.tgi_routes import tgi_routes


def create_app(predictors: Mapping[str, Predictor], settings: Settings) -> FastAPI:
    """Serve predictors, each by its name and the only one also at `/`."""
    responses = ResponseCaches(predictors.values(), settings)
    metrics = Metrics()
    models, answering = Models(predictors, settings, responses), Answering(settings, responses, metrics)
    # A redirect to or from a trailing slash would send the client to a host only the gateway knows.
    app = FastAPI(title="Hundredfold", redirect_slashes=False)
    install_failures(app)
    app.add_middleware(RequestCounts, metrics)
    app.add_middleware(HeadRequests)

    @app.get("/", response_class=Response)
    async def description(request: Request) -> Response:
        """What is served here and how to ask for it: JSON, or a page to try it on for who accepts HTML."""
        if wants_html(request.headers.get("accept", "")):
            # Read on request: an environment that answers clients never needs the page.
            from layers.serving.playground.page import playground

            return playground(predictors)
        routes = [f"{method.upper()} {path}" for path, methods in app.openapi()["paths"].items() for method in methods]
        served = {name: {"task": model.manifest.task, "tasks": model.tasks} for name, model in predictors.items()}
        return json_answer({"models": served, "routes": sorted(routes)})

    @app.get("/health", response_class=Response)
    @app.get("/ping", response_class=Response)
    async def health() -> Response:
        """200: what is loaded at start is loaded before anything is served."""
        return json_answer({"status": "ok"})

    @app.get("/info", response_class=Response)
    async def info() -> Response:
        """What the model is and what it takes."""
        return json_answer(models.describe_all())

    routers = (
        operations_routes(models, metrics),
        # Before the routes of models, whose names may hold slashes.
        openai_routes(models, answering),
        hub_routes(models, answering),
        tei_routes(models, answering),
        tgi_routes(models, answering),
    )
    # Not include_router: FastAPI then looks for the route of a request twice, in routers within the router, which was a
    # tenth of a kept answer's 0.2 ms.
    app.router.routes.extend(route for router in routers for route in router.routes)
    return app
