"""The endpoint under load on a graphics card: the trained examples, and BERT-base and GPT-2 at their real sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks import gpu_models
from benchmarks.endpoint import measure
from benchmarks.endpoint_models import Served, examples
from benchmarks.gpu import card


def run(say: Callable[..., None]) -> dict[str, Any]:
    """As benchmarks/endpoint.py, with artifacts for the card."""
    gpu_models.prepare(say)
    real_sizes = [
        Served(gpu_models.BERT, gpu_models.ARTIFACTS / gpu_models.BERT, False),
        Served("gpt2", gpu_models.ARTIFACTS / "gpt2", True),
    ]
    return {"card": card(), **measure([*examples(gpu_models.ARTIFACTS, "cuda", say), *real_sizes], say)}
