"""The endpoint under load on a graphics card: the trained examples, and BERT-base, GPT-2 and T5-small at real size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks import gpu_models
from benchmarks.endpoint import measure
from benchmarks.endpoint_models import CONTINUE, READ, REWRITE, Served, examples
from benchmarks.gpu import card


def run(say: Callable[..., None]) -> dict[str, Any]:
    """As benchmarks/endpoint.py, with artifacts for the card."""
    gpu_models.prepare(say)
    real_sizes = [
        Served(name, gpu_models.ARTIFACTS / name, parameters)
        for name, parameters in ((gpu_models.BERT, READ), ("gpt2", CONTINUE), ("t5-small", REWRITE))
    ]
    return {"card": card(), **measure([*examples(gpu_models.ARTIFACTS, "cuda", say), *real_sizes], say)}
