"""What the gate is led along where the data has no targets: what fp32 would write when served."""

from __future__ import annotations

from typing import Any

import numpy as np

from layers.compiler.generative_gate import greedy
from layers.generation import CacheLayout, Generation, GenerationDefaults

PADDING, END, WORD = 7, 0, 3


class LovesPadding:
    """A session as Marian's: padding is the likeliest everywhere, then a word, and after five of these the end."""

    def __init__(self) -> None:
        self.read: list[int] = []

    def encode(self, _texts: Any) -> None:
        return None

    def begin(self, _rows: int, _capacity: int, _sources: Any) -> LovesPadding:
        return self

    def feed(self, new: Any) -> Any:
        self.read += new[0].tolist()
        logits = np.zeros((1, 1, 10), np.float32)
        logits[0, 0, [PADDING, WORD, END]] = 9, 5, 6 if self.read.count(WORD) == 5 else 1
        return logits


def written(**defaults: Any) -> list[int]:
    generation = Generation(
        kind="encoder-decoder", vocabulary=10, max_tokens=64, cache=CacheLayout(layers=1, kv_heads=1, head_dim=8),
        decoder_start_token_id=PADDING, eos_token_ids=(END,), defaults=GenerationDefaults(**defaults),
    )  # fmt: skip
    session: Any = LovesPadding()
    tokens: list[int] = greedy(session, np.array([1, 2]), generation).tolist()
    return tokens


def test_what_the_checkpoint_forbids_is_not_written() -> None:
    assert written(bad_words_ids=((PADDING,),)) == [PADDING, *[WORD] * 5, END]
    assert written(suppress_tokens=(PADDING,)) == [PADDING, *[WORD] * 5, END]


def test_a_forced_first_token_is_written() -> None:
    assert written(suppress_tokens=(PADDING,), forced_bos_token_id=4)[:3] == [PADDING, 4, WORD]


def test_what_nothing_forbids_is_written() -> None:
    assert set(written()) == {PADDING}
