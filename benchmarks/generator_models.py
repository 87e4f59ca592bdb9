"""GPT-2 (124M), T5-small and Marian shapes with random weights, for every contender; made once into build/bench."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.encoder_models import ROOT, WORK
from layers.catalogue import ModelSpec
from layers.compiler.build import build

CHECKPOINTS = WORK / "checkpoints"
ARTIFACTS = WORK / "artifacts"
CTRANSLATE2 = WORK / "peers" / "ctranslate2"
TOKENIZERS = {"gpt2": "debian-writer", "t5-small": "debian-summarizer"}
TASKS = {"gpt2": "text-generation", "t5-small": "summarization"}


def prepare(name: str, say: Callable[[str], None]) -> None:
    """Make the checkpoint, our artifact and CTranslate2's int8 model, whatever is missing.

    Random weights have no perplexity worth keeping: the gate allows any drop, and the speed is what is measured.
    """
    if not (CHECKPOINTS / name).exists():
        say(f"making {name}")
        _checkpoint(name)
    table = {"name": name, "source": str(CHECKPOINTS / name), "task": TASKS[name], "precision": "int8"}
    build(ModelSpec.model_validate({**table, "gate": {"max_drop": 1.0}}), ROOT, ARTIFACTS, "x86_64", say)
    if not (CTRANSLATE2 / name).exists():
        _ctranslate2(name)


def _checkpoint(name: str) -> None:
    import torch
    import transformers

    torch.manual_seed(0)
    config: Any
    match name:
        case "gpt2":
            config = transformers.GPT2Config()
            model = transformers.GPT2LMHeadModel(config)
        case _:
            config = transformers.T5Config(
                d_model=512, d_kv=64, d_ff=2048, num_layers=6, num_heads=8, decoder_start_token_id=0
            )
            model = transformers.T5ForConditionalGeneration(config)
    directory = CHECKPOINTS / name
    model.save_pretrained(directory)
    source = ROOT / "examples/models" / TOKENIZERS[name]
    transformers.AutoTokenizer.from_pretrained(source).save_pretrained(directory)
    _widen(directory / "tokenizer.json", config.vocab_size)


def _widen(path: Path, size: int) -> None:
    """Fill the tokenizer up with words that never occur: CTranslate2 wants as many as the model has rows."""
    content = json.loads(path.read_text(encoding="utf-8"))
    vocabulary = content["model"]["vocab"]
    fillers = [f"<filler {index}>" for index in range(len(vocabulary), size)]
    if isinstance(vocabulary, dict):
        vocabulary.update({word: len(vocabulary) + index for index, word in enumerate(fillers)})
    else:
        vocabulary.extend([word, -1e4] for word in fillers)
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def _ctranslate2(name: str) -> None:
    from ctranslate2.converters import TransformersConverter

    (CTRANSLATE2 / name).parent.mkdir(parents=True, exist_ok=True)
    TransformersConverter(str(CHECKPOINTS / name)).convert(str(CTRANSLATE2 / name), quantization="int8")


def directory(name: str) -> Path:
    """Our artifact."""
    return ARTIFACTS / name
