"""HTTPS trigger: Function URL, API Gateway (both versions) and ALB events, answered by the application.

Models are loaded at import, in the init phase: once per environment, from `ARTIFACT_DIR`.
"""

from __future__ import annotations

from time import perf_counter

started = perf_counter()

import sys  # noqa: E402
from concurrent.futures import ThreadPoolExecutor  # noqa: E402
from typing import Any  # noqa: E402

from layers.runtime.predictor import load_predictors  # noqa: E402
from layers.runtime.settings import read_settings  # noqa: E402

settings = read_settings()
# Sessions open without the interpreter's lock, so the HTTP stack is imported meanwhile.
with ThreadPoolExecutor(1) as beside:
    loading = beside.submit(load_predictors, settings.artifact_dir, **settings.load_options())
    from aws_lambda_powertools import Logger
    from mangum import Mangum

    from functions.https.stage import without_stage
    from layers.runtime.cpu import instruction_set
    from layers.serving.application import create_app
    from layers.serving.cold_start import ColdStartHeaders

    predictors = loading.result()

logger = Logger(service="hundredfold", stream=sys.stderr)
app = create_app(predictors, settings)
init_ms = 1000 * (perf_counter() - started)
adapter = Mangum(ColdStartHeaders(app, init_ms), lifespan="off")
logger.info(
    "ready",
    init_ms=round(init_ms, 1),
    instruction_set=instruction_set(),
    models={name: predictor.engine.variant.name for name, predictor in predictors.items()},
    threads=next(iter(predictors.values())).engine.threads,
)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer one HTTP event in the shape its sender expects. `context` may be None."""
    try:
        answer: dict[str, Any] = adapter(without_stage(event), context)
    except ValueError:
        # The body is neither text nor base64, so there is no request to give to the application.
        logger.warning("event with a body that cannot be decoded")
        answer = {
            "statusCode": 400,
            "headers": {"content-type": "application/json"},
            "body": '{"error": "body cannot be decoded.", "error_type": "malformed"}',
            "isBase64Encoded": False,
        }
    return answer
