"""BERT-base, one text at a time, 8 to 384 tokens: this project against torch, onnxruntime's own int8, OpenVINO."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import encoder_models
from benchmarks.contest import hold_between, serve

CASES = ("8", "32", "128", "384")
THREADS = 2
Call = Callable[[str], Any]
Loaded = tuple[Call, dict[str, Any]]


def hundredfold(artifact: Path) -> Loaded:
    """What the artifact serves on this CPU, through the runtime's engine; encodings are made beforehand."""
    from layers.runtime.alignment import Encoding
    from layers.runtime.engine import Engine

    engine = Engine.load(artifact, threads=THREADS)
    rows = {case: encoder_models.token_ids(int(case))[0] for case in CASES}
    encodings = {case: [Encoding(ids, np.zeros_like(ids), 0)] for case, ids in rows.items()}
    return lambda case: engine.forward(encodings[case])[0]["logits"], {"variant": engine.variant.name}


def torch_eager(dtype: str) -> Loaded:
    """transformers' model as it comes, scaled-dot-product attention, inference mode."""
    import torch
    from transformers import AutoModelForSequenceClassification

    torch.set_num_threads(THREADS)
    model = AutoModelForSequenceClassification.from_pretrained(
        encoder_models.CHECKPOINT, dtype=getattr(torch, dtype)
    ).eval()
    feeds = {}
    for case in CASES:
        ids = torch.from_numpy(encoder_models.token_ids(int(case)))
        feeds[case] = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}

    def call(case: str) -> Any:
        with torch.inference_mode():
            return model(**feeds[case]).logits[0].float().numpy()

    return call, {"torch": torch.__version__}


def onnxruntime_int8() -> Loaded:
    """onnxruntime's optimizer and quantize_dynamic, its default session options but for threads."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = onnxruntime.InferenceSession(encoder_models.ORT_INT8, options, providers=["CPUExecutionProvider"])
    feeds = _feeds()
    return lambda case: session.run(None, feeds[case])[0][0], {"onnxruntime": onnxruntime.__version__}


def openvino_int8() -> Loaded:
    """OpenVINO with NNCF's post-training int8 (static ranges, transformer preset)."""
    import openvino

    compiled = openvino.Core().compile_model(
        encoder_models.OPENVINO_INT8, "CPU", {"INFERENCE_NUM_THREADS": THREADS, "PERFORMANCE_HINT": "LATENCY"}
    )
    request = compiled.create_infer_request()
    feeds = _feeds()
    return lambda case: request.infer(feeds[case])[0][0].copy(), {"openvino": openvino.__version__}


def _feeds() -> dict[str, dict[str, Any]]:
    rows = {case: encoder_models.token_ids(int(case)) for case in CASES}
    return {case: {"input_ids": ids, "attention_mask": np.ones_like(ids)} for case, ids in rows.items()}


CONTENDERS: dict[str, Callable[[], Loaded]] = {
    "torch eager fp32": lambda: torch_eager("float32"),
    "torch eager bf16": lambda: torch_eager("bfloat16"),
    "onnxruntime optimizer + quantize_dynamic": onnxruntime_int8,
    "OpenVINO + NNCF int8": openvino_int8,
    "hundredfold fp32": lambda: hundredfold(encoder_models.ARTIFACT_FP32),
    "hundredfold int8": lambda: hundredfold(encoder_models.ARTIFACT),
}


def run(say: Callable[[str], None]) -> dict[str, Any]:
    """Prepare, hold the contest, give its standings."""
    encoder_models.prepare(say)
    return hold_between(CONTENDERS, __name__, CASES, THREADS, lambda case, medians: say(f"{case} tokens: {medians}"))


if __name__ == "__main__":
    serve(CONTENDERS, sys.argv[1], sys.argv[2:])
