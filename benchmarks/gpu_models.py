"""What the benchmarks of a card run: BERT-base, GPT-2 and T5-small shapes with random weights, in build/bench."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.example_artifacts import ROOT, WORK
from benchmarks.generator_models import CHECKPOINTS, TASKS, write_checkpoint
from layers.catalogue import ModelSpec
from layers.compiler.build import build
from layers.compiler.examples import SAMPLES

BERT = "bert-base-random"
WRITERS = ("gpt2", "t5-small")
ARTIFACTS = WORK / "artifacts-cuda"
REFERENCE = WORK / "fp32.npz"
ENCODER_CASES = ("1 x 16", "1 x 128", "32 x 128", "32 x 384")
# As benchmarks/generators.py: MODEL PROMPT TOKENS BEAMS.
GENERATOR_CASES = (
    "gpt2 128 1 1",
    "gpt2 128 64 1",
    "gpt2 512 1 1",
    "gpt2 512 64 1",
    "t5-small 384 1 1",
    "t5-small 384 64 1",
)
# How far float16's answers may be from fp32's, as a share of their scale. Random weights damp nothing.
TOLERANCE = 0.02
JUDGED_LINES = 24


def token_ids(rows: int, tokens: int) -> NDArray[np.int64]:
    """[rows, tokens] of ids that are no special ones; the same for every contender."""
    return np.random.default_rng(0).integers(10, 8000, size=(rows, tokens)).astype(np.int64)


def size_of(case: str) -> tuple[int, int]:
    """Rows and tokens of an encoder's case."""
    rows, tokens = case.split(" x ")
    return int(rows), int(tokens)


def prepare(say: Callable[..., None]) -> None:
    """Make whatever is missing: checkpoints, artifacts, and fp32's answers on the processor."""
    if not (CHECKPOINTS / BERT).exists():
        _bert(CHECKPOINTS / BERT)
    lines = (SAMPLES / "texts.jsonl").read_text(encoding="utf-8").splitlines()[:JUDGED_LINES]
    data = WORK / "judged.jsonl"
    data.write_text("\n".join(lines), encoding="utf-8")
    tasks = {BERT: "text-classification", **{name: TASKS[name] for name in WRITERS}}
    for name, task in tasks.items():
        if not (CHECKPOINTS / name).exists():
            write_checkpoint(name)
        table = {"name": name, "source": str(CHECKPOINTS / name), "task": task, "precision": "fp16"}
        gate: dict[str, Any] = {"max_drop": 1.0}
        if name == BERT:
            gate |= {"metric": "logit_error", "data": str(data)}
        elif task == "text-generation":
            gate |= {"data": str(data)}
        build(ModelSpec.model_validate({**table, "gate": gate}), ROOT, ARTIFACTS, "cuda", say)
    if not REFERENCE.exists():
        _reference()


def compare(answers: Mapping[str, NDArray[Any]]) -> dict[str, float]:
    """The largest difference from fp32 by case, as a share of its scale. Raises ValueError beyond TOLERANCE."""
    exact = np.load(REFERENCE)
    found = {}
    for case, answer in answers.items():
        scale = float(np.abs(exact[case]).max())
        found[case] = float(np.abs(answer.astype(np.float32) - exact[case]).max() / scale)
        if not found[case] <= TOLERANCE:
            raise ValueError(f"{case}: differs from fp32 by {found[case]:.2e} of its scale, allowed {TOLERANCE}")
    return {case: float(f"{difference:.1e}") for case, difference in found.items()}


def _bert(directory: Path) -> None:
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    BertForSequenceClassification(BertConfig(num_labels=2)).save_pretrained(directory)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(ROOT / "examples/models/debian-sections" / name, directory)


def _reference() -> None:
    """fp32 on the processor: an encoder's logits, and the log probabilities of a text that a decoder reads."""
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    answers = {}
    with torch.inference_mode():
        encoder = AutoModelForSequenceClassification.from_pretrained(CHECKPOINTS / BERT, dtype=torch.float32).eval()
        for case in ENCODER_CASES:
            ids = torch.from_numpy(token_ids(*size_of(case)))
            answers[case] = encoder(input_ids=ids, attention_mask=torch.ones_like(ids)).logits.numpy()
        decoder = AutoModelForCausalLM.from_pretrained(CHECKPOINTS / "gpt2", dtype=torch.float32).eval()
        ids = torch.from_numpy(token_ids(1, 128))
        logits = torch.log_softmax(decoder(ids).logits[0, :-1], -1)
        answers["gpt2 scores"] = logits.gather(1, ids[0, 1:, None])[:, 0].numpy()
    np.savez(REFERENCE, allow_pickle=False, **answers)
