"""Answers: a prediction as JSON, and what it took as headers."""

from __future__ import annotations

import json
from time import perf_counter
from typing import Any

from fastapi import Response
from pydantic_core import to_json

from layers.runtime.run import Prediction


def json_bytes(value: Any) -> bytes:
    """A value as JSON. Raises ValueError for NaN and infinities, which JSON has no word for."""
    # Ten times as fast as json.dumps on vectors (16 against 194 microseconds for 384 numbers).
    body = to_json(value)
    if b"NaN" in body or b"Infinity" in body:
        body = json.dumps(value, allow_nan=False).encode("ascii")
    return body


def json_answer(value: Any) -> Response:
    """A value as a response. Raises ValueError as `json_bytes`."""
    return Response(json_bytes(value), media_type="application/json")


def prediction_answer(value: Any, prediction: Prediction, started: float, queue_ms: float = 0.0) -> Response:
    """A prediction's answer, with TEI's headers; times in milliseconds since `started`, a `perf_counter` reading."""
    response = json_answer(value)
    total = 1000 * (perf_counter() - started)
    headers = {
        "x-compute-type": "cpu",
        "x-compute-time": f"{prediction.tokenization_ms + prediction.inference_ms + prediction.postprocessing_ms:.3f}",
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
