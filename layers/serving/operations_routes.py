"""What those who run a model ask of it: counts for Prometheus, and how the build judged it."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import APIRouter, Request, Response

from layers.runtime.predictor import Predictor
from layers.serving.accept import wants_html
from layers.serving.answers import json_answer
from layers.serving.failures import GuardedRoute
from layers.serving.metrics import Metrics
from layers.serving.models import Models


# What these routes answer with is imported when they are asked: a start does not pay for it.
def operations_routes(models: Models, metrics: Metrics) -> APIRouter:
    """GET /metrics and /report; a model's own report below its name."""
    router = APIRouter(route_class=GuardedRoute)

    @router.get("/metrics", response_class=Response)
    async def counts() -> Response:
        """Requests, stages, tokens and caches of this process, in Prometheus' text format."""
        from layers.serving.exposition import CONTENT_TYPE, expose

        caches = {name: models.cache_reports(predictor) for name, predictor in models.served.items()}
        return Response(expose(metrics, models.served, caches), headers={"content-type": CONTENT_TYPE})

    @router.get("/report", response_class=Response)
    async def report(request: Request) -> Response:
        """How the build judged every variant: JSON, or tables for who accepts HTML."""
        return _report(request, models.served)

    @router.get("/models/{name:path}/report", response_class=Response)
    async def report_of(request: Request, name: str) -> Response:
        """The same of one model."""
        predictor = models.named(name)
        return _report(request, {predictor.manifest.name: predictor})

    return router


def _report(request: Request, predictors: Mapping[str, Predictor]) -> Response:
    from layers.serving.report import gate_report

    reports = [gate_report(predictor) for predictor in predictors.values()]
    if wants_html(request.headers.get("accept", "")):
        from layers.serving.playground.report_page import report_page

        return report_page(reports)
    return json_answer(reports[0] if len(reports) == 1 else {"models": {report["name"]: report for report in reports}})
