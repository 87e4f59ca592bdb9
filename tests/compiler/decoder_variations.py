"""Decoders to prove, one checkpoint each: every family, head size and option."""

from __future__ import annotations

from typing import Any

import torch

from tests.compiler.generators import DECODER_SIZES, Writer


def _cases(family: str, **options: dict[str, Any]) -> list[Writer]:
    return [Writer(family, name.replace("_", "-"), option) for name, option in options.items()]


FAMILIES = [Writer(family) for family in DECODER_SIZES]
GPT2 = [
    *_cases(
        "gpt2",
        heads_of_64={"n_embd": 128, "n_head": 2},
        heads_of_80={"n_embd": 160, "n_head": 2},
        inner={"n_inner": 67, "activation_function": "relu"},
        inverse_layer_scale={"scale_attn_by_inverse_layer_idx": True},
        unscaled={"scale_attn_weights": False},
        untied={"tie_word_embeddings": False},
    ),
    Writer("gpt2", "saved-in-fp16", dtype=torch.float16),
]
DECODERS = [*FAMILIES, *GPT2]
