"""What the endpoint serves: the models of the image, or of SageMaker's model data, loaded and warm."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from pathlib import Path
from time import perf_counter

from starlette.types import ASGIApp

from layers.artifact import MANIFEST
from layers.errors import ArtifactError

# Where SageMaker puts model data, read-only (docs: your-algorithms-inference-code, "How SageMaker AI Loads Your Model
# Artifacts").
MODEL_DATA = Path("/opt/ml/model")
# A server has many clients. Requests have a thread each while they wait for what is computed together.
DEFAULTS = {
    "HUNDREDFOLD_WORKERS": "64",
    "HUNDREDFOLD_MAX_CONCURRENT_REQUESTS": "512",
    "HUNDREDFOLD_BATCH_WAIT_MS": "2",
    "HUNDREDFOLD_GENERATION_ROWS": "16",
}

logger = logging.getLogger("hundredfold.gpu")


def artifact_directory(environment: MutableMapping[str, str], model_data: Path = MODEL_DATA) -> Path:
    """`ARTIFACT_DIR` when it holds an artifact or a folder of them, else the model data when that does.

    Raises ArtifactError naming both places when neither does.
    """
    named = environment.get("ARTIFACT_DIR")
    places = [*([Path(named)] if named else []), model_data]
    for place in places:
        if (place / MANIFEST).is_file() or any(place.glob(f"*/{MANIFEST}")):
            return place
    raise ArtifactError(
        f"nothing to serve: got no {MANIFEST} in {' or '.join(map(str, places))}, nor in a folder there. Build the "
        "image with an artifact, or give the endpoint model data that is one."
    )


def load_application(environment: MutableMapping[str, str], model_data: Path = MODEL_DATA) -> ASGIApp:
    """Load every model and run it once. Raises ArtifactError for what is missing or wrong."""
    started = perf_counter()
    from layers.runtime.batched import batched
    from layers.runtime.predictor import load_predictors
    from layers.runtime.settings import read_settings
    from layers.serving.application import create_app
    from layers.serving.invocations import Invocations

    directory = artifact_directory(environment, model_data)
    environment["ARTIFACT_DIR"] = str(directory)
    for name, value in DEFAULTS.items():
        environment.setdefault(name, value)
    settings = read_settings()
    loaded = load_predictors(directory, **settings.load_options())
    predictors = {name: batched(predictor, settings) for name, predictor in loaded.items()}
    ready = {
        "artifacts": str(directory),
        "init_ms": round(1000 * (perf_counter() - started), 1),
        "models": {name: predictor.engine.variant.name for name, predictor in predictors.items()},
    }
    logger.info("ready", extra={"fields": ready})
    return Invocations(create_app(predictors, settings), predictors, settings.max_body_bytes)
