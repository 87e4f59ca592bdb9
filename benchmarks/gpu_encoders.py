"""Contenders on a card, encoders: token ids on the processor in, logits on the processor out."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import gpu_models
from benchmarks.contest import serve
from benchmarks.generator_models import CHECKPOINTS

CASES = gpu_models.ENCODER_CASES
Loaded = tuple[Callable[[str], Any], dict[str, Any]]


def hundredfold() -> Loaded:
    """The artifact, through the runtime's engine; encodings are made beforehand."""
    from layers.runtime.alignment import Encoding
    from layers.runtime.engine import Engine

    engine = Engine.load(gpu_models.ARTIFACTS / gpu_models.BERT, max_batch_tokens=32 * 512)
    encodings = {
        case: [Encoding(row, np.zeros_like(row), 0) for row in gpu_models.token_ids(*gpu_models.size_of(case))]
        for case in CASES
    }

    def call(case: str) -> Any:
        return np.stack([outputs["logits"] for outputs in engine.forward(encodings[case])])

    return call, {"variant": engine.variant.name, "from fp32": gpu_models.compare({case: call(case) for case in CASES})}


def torch_eager(dtype: str) -> Loaded:
    """transformers' model as it comes, scaled-dot-product attention."""
    return _torch(dtype, lambda model: model)


def torch_compiled(mode: str) -> Loaded:
    """The same in float16, compiled for each shape; both modes record CUDA graphs."""
    import torch

    return _torch("float16", lambda model: torch.compile(model, mode=mode, dynamic=False))


def _torch(dtype: str, prepared: Callable[[Any], Any]) -> Loaded:
    import torch
    from transformers import AutoModelForSequenceClassification

    checkpoint = CHECKPOINTS / gpu_models.BERT
    loaded = AutoModelForSequenceClassification.from_pretrained(checkpoint, dtype=getattr(torch, dtype))
    model = prepared(loaded.to("cuda").eval())
    feeds = {case: torch.from_numpy(gpu_models.token_ids(*gpu_models.size_of(case))) for case in CASES}

    def call(case: str) -> Any:
        with torch.inference_mode():
            ids = feeds[case].to("cuda")
            return model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits.float().cpu().numpy()

    found = gpu_models.compare({case: call(case) for case in CASES})
    return call, {"torch": torch.__version__, "from fp32": found}


CONTENDERS: dict[str, Callable[[], Loaded]] = {
    "torch eager fp32": lambda: torch_eager("float32"),
    "torch eager fp16": lambda: torch_eager("float16"),
    "torch.compile fp16, reduce-overhead": lambda: torch_compiled("reduce-overhead"),
    "hundredfold": hundredfold,
}

if __name__ == "__main__":
    serve(CONTENDERS, sys.argv[1], sys.argv[2:])
