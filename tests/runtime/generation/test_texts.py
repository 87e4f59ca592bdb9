"""Texts of every kind through both examples that write: what transformers writes with the same weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, pipeline

from layers.runtime.predictor import Predictor
from tests.runtime.generation.compiled_artifact import write_compiled
from tests.runtime.generation.toy_decoder import MODELS
from tests.runtime.tasks.texts import TEXTS

NEW = 8
# The answer's key, and the texts: the three share everything else.
CASES = {
    "summarization": ("summary_text", TEXTS[1:]),
    "translation": ("translation_text", TEXTS[4:6]),
    "text2text-generation": ("generated_text", TEXTS[6:8]),
}


def test_prompts_are_continued_as_by_the_pipeline(tmp_path: Path) -> None:
    checkpoint = MODELS / "debian-writer"
    predictor = Predictor.load(write_compiled(checkpoint, "text-generation", tmp_path), threads=1)
    write = pipeline("text-generation", model=str(checkpoint), dtype=torch.float32, device="cpu")
    # An empty prompt is none to transformers, and nothing of a long one is cut: it must fit.
    texts = [text[:600] for text in TEXTS if text]
    settings: dict[str, Any] = {"max_new_tokens": NEW, "do_sample": False}
    for text, got in zip(texts, predictor.predict(texts, settings).value, strict=True):
        assert got == write(text, **settings)


@pytest.mark.parametrize("task", CASES)
def test_sources_are_rewritten_as_by_generate(tmp_path: Path, task: str) -> None:
    checkpoint = MODELS / "debian-summarizer"
    predictor = Predictor.load(write_compiled(checkpoint, task, tmp_path), threads=1)
    model: Any = AutoModelForSeq2SeqLM.from_pretrained(checkpoint, dtype=torch.float32).eval()
    tokenizer: Any = AutoTokenizer.from_pretrained(checkpoint)
    limit = predictor.manifest.limits.max_tokens
    key, texts = CASES[task]
    for text in texts:
        source = tokenizer(text, truncation=True, max_length=limit, return_tensors="pt")
        with torch.inference_mode():
            [row] = model.generate(**source, max_new_tokens=NEW, do_sample=False)
        expected = [{key: tokenizer.decode(row, skip_special_tokens=True)}]
        assert predictor.predict(text, {"max_new_tokens": NEW}).value == expected


@pytest.mark.parametrize(
    "settings",
    [
        {"max_new_tokens": NEW},
        {"max_new_tokens": 2},
        {"max_length": NEW},
        {"max_new_tokens": 40, "min_new_tokens": 20},
        {"max_new_tokens": NEW, "num_beams": 3, "early_stopping": "never"},
    ],
    ids=lambda settings: " ".join(settings),
)
def test_new_tokens_are_counted_as_by_generate_which_writes_the_language(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    checkpoint, language = MODELS / "debian-summarizer", 40
    prefixes = {"source:eng": (), "target:deu": (language,)}
    predictor = Predictor.load(write_compiled(checkpoint, "translation", tmp_path, prefixes=prefixes), threads=1)
    model: Any = AutoModelForSeq2SeqLM.from_pretrained(checkpoint, dtype=torch.float32).eval()
    tokenizer: Any = AutoTokenizer.from_pretrained(checkpoint)
    for text in TEXTS[4:6]:
        source = tokenizer(text, truncation=True, max_length=predictor.manifest.limits.max_tokens, return_tensors="pt")
        with torch.inference_mode():
            [row] = model.generate(**source, forced_bos_token_id=language, do_sample=False, **settings)
        start, first, *rest = row.tolist()
        assert (start, first) == (model.config.decoder_start_token_id, language)
        prediction = predictor.predict(text, {"src_lang": "eng", "tgt_lang": "deu", **settings})
        assert prediction.value == [{"translation_text": tokenizer.decode(rest, skip_special_tokens=True)}]
        assert prediction.generated_tokens == len(rest)
