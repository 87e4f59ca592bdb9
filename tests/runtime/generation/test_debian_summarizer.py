"""The example that summarizes, its graphs from the compiler, through a predictor: transformers' own texts."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from layers.runtime.predictor import Predictor
from tests.runtime.generation.compiled_artifact import write_compiled
from tests.runtime.generation.toy_decoder import MODELS

CHECKPOINT = MODELS / "debian-summarizer"
NEW = 24


@pytest.mark.parametrize(
    "settings",
    [{}, {"num_beams": 4}, {"num_beams": 4, "length_penalty": 2.0, "early_stopping": True, "no_repeat_ngram_size": 2}],
    ids=str,
)
def test_as_transformers(settings: dict[str, Any], predictor: Predictor) -> None:
    lines = (CHECKPOINT / "heldout.jsonl").read_text(encoding="utf-8").splitlines()[:5]
    texts = ["summarize: " + json.loads(line)["text"][:400] for line in lines]
    model = AutoModelForSeq2SeqLM.from_pretrained(CHECKPOINT, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(CHECKPOINT)
    wanted = []
    for text in texts:
        source = tokenizer(text, return_tensors="pt")
        [row] = model.generate(**source, max_new_tokens=NEW, do_sample=False, **settings)
        wanted.append({"summary_text": tokenizer.decode(row, skip_special_tokens=True)})
    assert predictor.predict(texts, {"max_new_tokens": NEW, **settings}).value == wanted


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return Predictor.load(write_compiled(CHECKPOINT, "summarization", tmp_path_factory.mktemp("summarizer")), threads=1)
