"""BERT-base in every contender's format, made once into build/bench: same random weights, same tokenizer."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.example_artifacts import ROOT, WORK, minilm_checkpoint
from benchmarks.few_texts import FEW_TEXTS, write_few_texts
from layers.catalogue import ModelSpec
from layers.compiler.build import build
from layers.compiler.examples import SAMPLES

NAME = "bert-base"
CHECKPOINT = WORK / "checkpoints" / NAME
ARTIFACT = WORK / "artifacts" / NAME
ARTIFACT_FP32 = WORK / "artifacts" / f"{NAME}-fp32"
TRACED = WORK / "peers" / "traced.onnx"
ORT_INT8 = WORK / "peers" / "onnxruntime-int8.onnx"
OPENVINO_INT8 = WORK / "peers" / "openvino-int8.xml"
CTRANSLATE2 = WORK / "peers" / "ctranslate2" / NAME
FASTEMBED = WORK / "peers" / "fastembed"
CALIBRATION_TEXTS = 64
# Random weights have no accuracy, so variants are judged by their distance from fp32's logits.
GATE = {"metric": "logit_error", "max_drop": 0.05}


def prepare(say: Callable[[str], None]) -> None:
    """Make whatever is missing."""
    steps: Sequence[tuple[Path, Callable[[], None]]] = (
        (CHECKPOINT, _checkpoint),
        (TRACED, _trace),
        (ORT_INT8, _onnxruntime_int8),
        (OPENVINO_INT8, _openvino_int8),
    )
    for path, make in steps:
        if not path.exists():
            say(f"making {path.relative_to(WORK)}")
            path.parent.mkdir(parents=True, exist_ok=True)
            make()
    write_few_texts()
    gate = {**GATE, "data": str(FEW_TEXTS)}
    table = {"source": str(CHECKPOINT), "task": "text-classification", "gate": gate}
    for artifact, precision in ((ARTIFACT, "auto"), (ARTIFACT_FP32, "fp32")):
        spec = ModelSpec.model_validate({"name": artifact.name, "precision": precision, **table})
        build(spec, ROOT, artifact.parent, "x86_64", say)


def token_ids(length: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """[1, length] of real tokens from the sample that ships with the compiler."""
    tokenizer = endless_tokenizer(CHECKPOINT)
    text = (SAMPLES / "texts.jsonl").read_text(encoding="utf-8")[:20_000]
    return np.resize(np.array(tokenizer.encode(text).ids[1:-1], np.int64), (1, length))


def endless_tokenizer(checkpoint: Path) -> Any:
    """A checkpoint's tokenizer, which neither cuts nor pads."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _checkpoint() -> None:
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    BertForSequenceClassification(BertConfig(num_labels=2)).save_pretrained(CHECKPOINT)
    AutoTokenizer.from_pretrained(minilm_checkpoint()).save_pretrained(CHECKPOINT)


def _trace() -> None:
    trace(CHECKPOINT, "text-classification", TRACED)


def trace(checkpoint: Path, task: str, path: Path) -> None:
    """transformers' model through torch.onnx's tracing exporter, whose graph onnxruntime's optimizer fuses whole.

    The exporter calls models by position, which transformers 5 does not take, and fails on SDPA's masks. The newer
    exporter's graph leaves the 12 attention layers unfused, which would be unfair to the peer.
    """
    import torch
    import transformers

    classifies = task == "text-classification"
    kind = transformers.AutoModelForSequenceClassification if classifies else transformers.AutoModel

    class Positional(torch.nn.Module):  # type: ignore[misc]  # torch is not analysed
        def __init__(self) -> None:
            super().__init__()
            self.model = kind.from_pretrained(checkpoint, attn_implementation="eager")

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            return self.model(input_ids=input_ids, attention_mask=attention_mask)[0]

    ids = torch.arange(10, 26)[None]
    axes = {0: "batch", 1: "sequence"}
    torch.onnx.export(
        Positional().eval(),
        (ids, torch.ones_like(ids)),
        path,
        dynamo=False,
        opset_version=17,
        input_names=["input_ids", "attention_mask"],
        output_names=["output"],
        dynamic_axes={"input_ids": axes, "attention_mask": axes},
    )


def _onnxruntime_int8() -> None:
    """onnxruntime's own path: its transformer optimizer, then quantize_dynamic with per-channel s8 weights."""
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.transformers import optimizer

    fused = WORK / "peers" / "onnxruntime-fp32.onnx"
    model: Any = optimizer.optimize_model(str(TRACED), model_type="bert", num_heads=12, hidden_size=768, opt_level=1)
    model.save_model_to_file(str(fused))
    quantize_dynamic(
        fused, ORT_INT8, per_channel=True, weight_type=QuantType.QInt8, extra_options={"DefaultTensorType": 1}
    )


def _openvino_int8() -> None:
    import nncf
    import openvino

    model = openvino.convert_model(TRACED)
    lines = [token_ids(length) for length in range(16, 16 + CALIBRATION_TEXTS)]
    data = [{"input_ids": ids, "attention_mask": np.ones_like(ids)} for ids in lines]
    quantized = nncf.quantize(model, nncf.Dataset(data), model_type=nncf.ModelType.TRANSFORMER)
    openvino.save_model(quantized, OPENVINO_INT8, compress_to_fp16=False)


def prepare_ctranslate2() -> None:
    """CTranslate2's int8 encoder, where it is missing. Raises what its converter raises.

    The converter of release 4.8 asks BERT's configuration for `position_embedding_type`, which transformers 5 took out
    of it: the copy that is converted states it.
    """
    from ctranslate2.converters import TransformersConverter

    if CTRANSLATE2.exists():
        return
    CTRANSLATE2.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        stated = Path(folder) / NAME
        shutil.copytree(CHECKPOINT, stated)
        config = json.loads((CHECKPOINT / "config.json").read_text(encoding="utf-8"))
        (stated / "config.json").write_text(json.dumps(config | {"position_embedding_type": "absolute"}))
        TransformersConverter(str(stated)).convert(str(CTRANSLATE2), quantization="int8")


def prepare_fastembed() -> Path:
    """The folder that fastembed takes a model of its user from: onnxruntime's int8 graph beside the tokenizer.

    The tokenizer's configuration says that texts are cut to 128 tokens: in the copy that is left out.
    """
    if not (FASTEMBED / "model.onnx").exists():
        shutil.copytree(CHECKPOINT, FASTEMBED, ignore=shutil.ignore_patterns("*.safetensors"), dirs_exist_ok=True)
        settings = FASTEMBED / "tokenizer_config.json"
        kept = {key: value for key, value in json.loads(settings.read_text()).items() if key != "max_length"}
        settings.write_text(json.dumps(kept), encoding="utf-8")
        shutil.copy(ORT_INT8, FASTEMBED / "model.onnx")
    return FASTEMBED


def texts_of(count: int, tokens: int) -> list[str]:
    """Different texts that come out as so many tokens each, the special ones at both ends counted."""
    lines = (SAMPLES / "texts.jsonl").read_text(encoding="utf-8").splitlines()
    words = cycle(" ".join(json.loads(line)["text"] for line in lines).split())
    tokenizer = endless_tokenizer(CHECKPOINT)
    made: list[str] = []
    while len(made) < count:
        text = cut(tokenizer, " ".join(islice(words, tokens)), tokens - 2)
        # A word that is cut can come out as more tokens than its beginning did.
        if len(tokenizer.encode(text)) == tokens:
            made.append(text)
    return made


def cut(tokenizer: Any, text: str, tokens: int) -> str:
    """The beginning of a text that comes out as so many tokens, special ones not counted."""
    return text[: tokenizer.encode(text, add_special_tokens=False).offsets[:tokens][-1][1]]
