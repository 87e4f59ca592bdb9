"""Encoder-decoders to prove, one checkpoint each: every family, head size and option."""

from __future__ import annotations

from typing import Any

import torch

from tests.compiler.generators import SEQ2SEQ_SIZES, Writer


def _cases(family: str, **options: dict[str, Any]) -> list[Writer]:
    return [Writer(family, name.replace("_", "-"), option) for name, option in options.items()]


FAMILIES = [Writer(family) for family in SEQ2SEQ_SIZES]
GATED = {"feed_forward_proj": "gated-gelu"}
T5 = [
    *_cases(
        "t5",
        v1_1={**GATED, "tie_word_embeddings": False},
        gated_relu={"feed_forward_proj": "gated-relu"},
        heads_of_64={"d_kv": 64},
        heads_of_80={"d_kv": 80, "num_heads": 2},
        usual_buckets={"relative_attention_num_buckets": 32, "relative_attention_max_distance": 128},
    ),
    Writer("t5", "saved-in-bf16", dtype=torch.bfloat16),
]
HEADS_OF_64 = {"d_model": 128, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
HEADS_OF_80 = {"d_model": 160, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
TWO_VOCABULARIES = {"share_encoder_decoder_embeddings": False, "decoder_vocab_size": 1151}
BART = [
    *_cases(
        "bart",
        heads_of_64=HEADS_OF_64,
        heads_of_80=HEADS_OF_80,
        scaled={"scale_embedding": True, "activation_function": "relu"},
        untied={"tie_word_embeddings": False},
    ),
    *_cases("mbart", heads_of_80=HEADS_OF_80, scaled={"scale_embedding": True, "activation_function": "relu"}),
    *_cases(
        "marian",
        heads_of_64=HEADS_OF_64,
        unscaled={"scale_embedding": False},
        two_vocabularies=TWO_VOCABULARIES,
        two_vocabularies_untied={**TWO_VOCABULARIES, "tie_word_embeddings": False},
    ),
    *_cases("pegasus", heads_of_64=HEADS_OF_64),
    *_cases("m2m_100", heads_of_80=HEADS_OF_80, padding_elsewhere={"pad_token_id": 0, "scale_embedding": False}),
]
SEQ2SEQ = [*FAMILIES, *T5, *BART]
