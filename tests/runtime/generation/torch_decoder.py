"""A `Decoder` over a transformers model without a cache: the loop's reference, and a record of what it was asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from layers.runtime.generation.decoder import Ids, Logits


def tiny_gpt2(vocabulary: int = 40, seed: int = 0) -> GPT2LMHeadModel:
    """Random weights, wide enough that no two tokens are nearly as likely."""
    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=vocabulary, n_positions=64, n_embd=32, n_layer=2, n_head=2, initializer_range=0.4,
        bos_token_id=0, eos_token_id=0, pad_token_id=0, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0,
    )  # fmt: skip
    return GPT2LMHeadModel(config).eval()


class TorchDecoder:
    """Recomputes every row at every step. `computed` lists, per call, how many tokens of each row were new."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._rows: list[list[int]] = []
        self.computed: list[list[int]] = []
        self.released = 0

    def prefill(self, prompts: Sequence[Ids]) -> Logits:
        assert not self._rows, "only once"
        self._rows = [prompt.tolist() for prompt in prompts]
        self.computed.append([len(row) for row in self._rows])
        return self._logits()

    def step(self, tokens: Sequence[int]) -> Logits:
        assert len(tokens) == len(self._rows)
        for row, token in zip(self._rows, tokens, strict=True):
            row.append(token)
        self.computed.append([1] * len(tokens))
        return self._logits()

    def reorder(self, rows: Sequence[int]) -> None:
        self._rows = [list(self._rows[row]) for row in rows]

    def score(self, prompt: Ids) -> Any:
        with torch.no_grad():
            logprobs = torch.log_softmax(self._model(torch.from_numpy(prompt)[None]).logits[0], -1).numpy()
        return logprobs[np.arange(len(prompt) - 1), prompt[1:]]

    def release(self) -> None:
        self.released += 1

    def _logits(self) -> Logits:
        with torch.no_grad():
            rows = [self._model(torch.tensor(row)[None]).logits[0, -1].numpy() for row in self._rows]
        return np.stack(rows).astype(np.float32)
