"""Answers to questions from the unmodified model, by the post-processing that transformers 4.57 documented.

Written from that description, word by word and pair by pair, so that it shares nothing with what it judges: spans of
at most `max_answer_len` tokens of the context, scored by the product of softmaxes over context and CLS; aligned to
words; equal answers added up over spans and windows; the empty answer scored by CLS's own product, the least of all
windows.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoTokenizer

from tests.runtime.tasks.tokenized_checkpoints import reference_model

Answer = dict[str, Any]


def answers(
    checkpoint: Path,
    question: str,
    context: str,
    *,
    top_k: int = 1,
    doc_stride: int = 16,
    max_seq_len: int = 48,
    max_answer_len: int = 15,
    handle_impossible_answer: bool = False,
    align_to_words: bool = True,
) -> list[Answer]:
    tokenizer, model = _opened(checkpoint)
    windows = tokenizer(
        question, context, truncation="only_second", max_length=max_seq_len, stride=doc_stride,
        return_overflowing_tokens=True, return_offsets_mapping=True,
    )  # fmt: skip
    found: dict[str, Answer] = {}
    impossible = 1.0
    for number, ids in enumerate(windows["input_ids"]):
        feed = {name: torch.tensor([windows[name][number]]) for name in tokenizer.model_input_names}
        with torch.inference_mode():
            output = model(**feed)
        inside = [sequence == 1 for sequence in windows.sequence_ids(number)]
        usable = torch.tensor([own or token == tokenizer.cls_token_id for own, token in zip(inside, ids, strict=True)])
        start, end = (
            torch.softmax(torch.where(usable, logits[0], torch.tensor(-10000.0)), -1).numpy()
            for logits in (output.start_logits, output.end_logits)
        )
        impossible = min(impossible, float(start[0] * end[0]))
        spans = [
            (float(start[s] * end[e]), s, e)
            for s in np.flatnonzero(inside)
            for e in range(s, min(s + max_answer_len, len(ids)))
            if inside[e]
        ]
        spans.sort(key=lambda span: -span[0])
        for score, s, e in spans[: 2 * top_k + 10 if align_to_words else top_k]:
            begin, stop = _characters(windows, number, s, e, align_to_words)
            text = context[begin:stop]
            entry = found.setdefault(text.lower(), {"answer": text, "score": 0.0, "start": begin, "end": stop})
            entry["score"] += score
    results = list(found.values())
    if handle_impossible_answer:
        results.append({"answer": "", "score": impossible, "start": 0, "end": 0})
    return sorted(results, key=lambda entry: -entry["score"])[:top_k]


@cache
def _opened(checkpoint: Path) -> tuple[Any, Any]:
    return AutoTokenizer.from_pretrained(checkpoint), reference_model("question-answering", checkpoint)


def _characters(windows: Any, number: int, s: int, e: int, align_to_words: bool) -> tuple[int, int]:
    offsets = windows["offset_mapping"][number]
    first, last = windows.token_to_word(number, s), windows.token_to_word(number, e)
    if not align_to_words or first is None or last is None:
        return int(offsets[s][0]), int(offsets[e][1])
    return windows.word_to_chars(number, first, 1)[0], windows.word_to_chars(number, last, 1)[1]
