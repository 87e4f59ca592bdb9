"""Answers: a prediction as JSON, and what it took as headers."""

from __future__ import annotations

from time import perf_counter
from typing import Any

from fastapi import Response

from layers.runtime.predictor import Predictor
from layers.runtime.run import Prediction
from layers.serving.json_body import json_bytes


def json_answer(value: Any) -> Response:
    """A value as a response. Raises ValueError as `json_bytes`."""
    return Response(json_bytes(value), media_type="application/json")


def compute_type(predictor: Predictor) -> str:
    """What computed: `gpu` for a card's variant, else `cpu`, as the Inference API's `x-compute-type` says it."""
    return "gpu" if predictor.variant.on_card else "cpu"


def prediction_answer(
    value: Any, prediction: Prediction, started: float, queue_ms: float, computed_by: str
) -> Response:
    """A prediction's answer, with TEI's headers; times in milliseconds since `started`, a `perf_counter` reading."""
    response = json_answer(value)
    total = 1000 * (perf_counter() - started)
    headers = {
        "x-compute-type": computed_by,
        "x-compute-time": f"{prediction.tokenization_ms + prediction.inference_ms + prediction.postprocessing_ms:.3f}",
        "x-compute-texts": str(prediction.text_count),
        "x-compute-tokens": str(prediction.token_count),
        "x-tokenization-time": f"{prediction.tokenization_ms:.3f}",
        "x-queue-time": f"{queue_ms:.3f}",
        "x-inference-time": f"{prediction.inference_ms:.3f}",
        "x-total-time": f"{total:.3f}",
    }
    if prediction.from_cache:
        headers["x-cache"] = "hit"
    if prediction.truncated_tokens:
        headers["x-truncated-tokens"] = str(prediction.truncated_tokens)
    if prediction.generated_tokens:
        headers["x-generated-tokens"] = str(prediction.generated_tokens)
    response.headers.update(headers)
    return response
