"""HTTPS trigger: Function URL, API Gateway (both versions) and ALB events, answered by the application.

A model is loaded at import, in the init phase: once per environment, from `ARTIFACT_DIR`. Of several, each is loaded
when it is first asked.
"""

from __future__ import annotations

from time import perf_counter

# Before the imports, which are part of what is measured; that is why they are not at the top (E402).
started = perf_counter()

import logging  # noqa: E402
import os  # noqa: E402
from concurrent.futures import ThreadPoolExecutor  # noqa: E402
from typing import Any  # noqa: E402

from functions.emf import Metrics  # noqa: E402
from functions.init_phase import warm_until  # noqa: E402
from functions.loads import measure_loads  # noqa: E402
from functions.logs import log_to_stderr  # noqa: E402
from layers.runtime.cpu import instruction_set  # noqa: E402
from layers.runtime.group import open_predictors  # noqa: E402
from layers.runtime.settings import read_settings  # noqa: E402

formatter = log_to_stderr()
logger = logging.getLogger("hundredfold.https")
settings = read_settings()
# Sessions open without the interpreter's lock, so the HTTP stack is imported meanwhile.
with ThreadPoolExecutor(1) as beside:
    loading = beside.submit(
        open_predictors,
        settings.artifact_dir,
        warm_until=warm_until(settings.init_seconds),
        budget_bytes=settings.group_bytes,
        **settings.load_options(),
    )
    from mangum import Mangum

    from functions.https.answers import refusal, within_limit
    from functions.https.broken_streams import BrokenStreams
    from functions.https.event_path import routed
    from functions.https.measured import measure
    from layers.serving.application import create_app
    from layers.serving.cold_start import ColdStartHeaders

    predictors = loading.result()

app = create_app(predictors, settings)
init_ms = 1000 * (perf_counter() - started)
metrics = Metrics("https")
application = BrokenStreams(ColdStartHeaders(app, init_ms), metrics)
adapter = Mangum(application, lifespan="off")
ready = {
    "init_ms": round(init_ms, 1),
    "instruction_set": instruction_set(),
    "threads": {name: predictor.threads for name, predictor in predictors.items()},
    "models": {name: predictor.variant.name for name, predictor in predictors.items()},
    "not_warmed": [name for name, predictor in predictors.items() if not predictor.warmed],
}
logger.info("ready", extra={"fields": ready})
if os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start":
    from functions.snapstart import Restoration, register

    register(Restoration())


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer one HTTP event in the shape its sender expects. `context` may be None."""
    began = perf_counter()
    request_id = getattr(context, "aws_request_id", None)
    formatter.request_id = request_id
    answer = _answer(event, context)
    measure(metrics, answer, 1000 * (perf_counter() - began))
    measure_loads(metrics, predictors)
    metrics.flush({"function_request_id": request_id} if request_id else {})
    return answer


def _answer(event: dict[str, Any], context: Any) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = adapter(routed(event), context)
    except ValueError:
        # The body is neither text nor base64, so there is no request to give to the application.
        logger.warning("event with a body that cannot be decoded")
        return refusal(event, 400, "body cannot be decoded.", "malformed")
    return within_limit(event, answer)
