"""BERT-base, cases TEXTS x TOKENS: this project against torch, onnxruntime's own int8, OpenVINO, CTranslate2.

Contenders are given token ids and give logits; CTranslate2 has no classification head, and gives hidden states, and
fastembed is given texts.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import encoder_models
from benchmarks.contest import COMPILES, hold_between, serve

CASES = ("1 x 8", "1 x 32", "1 x 128", "1 x 384", "32 x 128")
THREADS = 2
ROUNDS = 6
Call = Callable[[str], Any]
Loaded = tuple[Call, dict[str, Any]]


def hundredfold(artifact: Path) -> Loaded:
    """What the artifact serves on this CPU, through the runtime's engine; encodings are made beforehand."""
    from layers.runtime.alignment import Encoding
    from layers.runtime.engine import Engine

    engine = Engine.load(artifact, threads=THREADS)

    @cache
    def encodings(case: str) -> list[Encoding]:
        return [Encoding(row, np.zeros_like(row), 0) for row in batch(case)]

    return lambda case: engine.forward(encodings(case))[0]["logits"], {"variant": engine.variant.name}


def sizes(case: str) -> tuple[int, int]:
    """Texts, and tokens of each."""
    texts, tokens = case.split(" x ")
    return int(texts), int(tokens)


@cache
def batch(case: str) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Token ids [texts, tokens] of a case; every row is another text."""
    texts, tokens = sizes(case)
    return encoder_models.token_ids(texts * tokens).reshape(texts, tokens)


def torch_model(dtype: str, *, compiled: bool = False) -> Loaded:
    """transformers' model, scaled-dot-product attention, inference mode; as it comes or through torch.compile."""
    import torch
    from transformers import AutoModelForSequenceClassification

    torch.set_num_threads(THREADS)
    model = AutoModelForSequenceClassification.from_pretrained(
        encoder_models.CHECKPOINT, dtype=getattr(torch, dtype)
    ).eval()
    run = torch.compile(model) if compiled else model

    @cache
    def feed(case: str) -> dict[str, Any]:
        return {name: torch.from_numpy(array) for name, array in _feed(case).items()}

    def call(case: str) -> Any:
        with torch.inference_mode():
            return run(**feed(case)).logits.float().numpy()

    return call, {"torch": torch.__version__, COMPILES: compiled}


def onnxruntime_int8() -> Loaded:
    """onnxruntime's optimizer and quantize_dynamic, its default session options but for threads."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = onnxruntime.InferenceSession(encoder_models.ORT_INT8, options, providers=["CPUExecutionProvider"])
    return lambda case: session.run(None, _feed(case))[0], {"onnxruntime": onnxruntime.__version__}


def openvino_model(path: Path, precision: str) -> Loaded:
    """OpenVINO: NNCF's post-training int8 (static ranges, transformer preset), or the traced graph in bfloat16."""
    import openvino

    hints = {"INFERENCE_NUM_THREADS": THREADS, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision}
    compiled = openvino.Core().compile_model(path, "CPU", hints)
    request = compiled.create_infer_request()
    return lambda case: request.infer(_feed(case))[0].copy(), {"openvino": openvino.__version__}


def ctranslate2_int8() -> Loaded:
    """CTranslate2's encoder, int8."""
    import ctranslate2

    encoder_models.prepare_ctranslate2()
    encoder = ctranslate2.Encoder(str(encoder_models.CTRANSLATE2), compute_type="int8", intra_threads=THREADS)

    @cache
    def tokens(case: str) -> Any:
        return batch(case).tolist()

    def call(case: str) -> Any:
        return np.array(encoder.forward_batch(tokens(case)).last_hidden_state)

    return call, {"ctranslate2": ctranslate2.__version__}


def fastembed_runtime() -> Loaded:
    """fastembed's runtime, offline, over onnxruntime's int8 graph: its own models have to be downloaded.

    It takes texts and no token ids: texts of as many tokens, so that its tokenizing is timed too.
    """
    from fastembed import TextEmbedding
    from fastembed.common.model_description import ModelSource, PoolingType

    folder = encoder_models.prepare_fastembed()
    TextEmbedding.add_custom_model(
        encoder_models.NAME,
        pooling=PoolingType.DISABLED,
        normalization=False,
        sources=ModelSource(hf=encoder_models.NAME),
        dim=2,
        model_file="model.onnx",
    )
    model = TextEmbedding(encoder_models.NAME, threads=THREADS, specific_model_path=str(folder))

    @cache
    def lines(case: str) -> list[str]:
        texts, tokens = sizes(case)
        made = encoder_models.texts_of(texts, tokens)
        if model.token_count(made) != texts * tokens:
            raise RuntimeError(f"{case}: fastembed reads {model.token_count(made)} tokens")
        return made

    return lambda case: np.array(list(model.embed(lines(case)))), {"fastembed": version("fastembed")}


@cache
def _feed(case: str) -> dict[str, Any]:
    ids = batch(case)
    return {"input_ids": ids, "attention_mask": np.ones_like(ids)}


CONTENDERS: dict[str, Callable[[], Loaded]] = {
    "torch eager fp32": lambda: torch_model("float32"),
    "torch eager bf16": lambda: torch_model("bfloat16"),
    "torch.compile fp32": lambda: torch_model("float32", compiled=True),
    "torch.compile bf16": lambda: torch_model("bfloat16", compiled=True),
    "onnxruntime optimizer + quantize_dynamic": onnxruntime_int8,
    "OpenVINO bf16": lambda: openvino_model(encoder_models.TRACED, "bf16"),
    "OpenVINO + NNCF int8": lambda: openvino_model(encoder_models.OPENVINO_INT8, "f32"),
    "CTranslate2 int8": ctranslate2_int8,
    "fastembed, onnxruntime int8": fastembed_runtime,
    "hundredfold fp32": lambda: hundredfold(encoder_models.ARTIFACT_FP32),
    "hundredfold int8": lambda: hundredfold(encoder_models.ARTIFACT),
}


def run(say: Callable[..., None], cases: Sequence[str] = CASES) -> dict[str, Any]:
    """Prepare, hold the contest, give its standings."""
    encoder_models.prepare(say)
    return hold_between(CONTENDERS, __name__, cases, THREADS, say, ROUNDS)


if __name__ == "__main__":
    serve(CONTENDERS, sys.argv[1], sys.argv[2:])
