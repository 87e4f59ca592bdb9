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


def _rope(kind: str, **parameters: Any) -> dict[str, Any]:
    return {"rope_parameters": {"rope_type": kind, "rope_theta": 500.0, **parameters}}


LLAMA3 = {"factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 29}
HEADS_OF_64 = {"hidden_size": 128, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 64}
HEADS_OF_80 = {"hidden_size": 160, "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 80}
LLAMA = [
    *_cases(
        "llama",
        heads_of_64=HEADS_OF_64,
        heads_of_80=HEADS_OF_80,
        grouped={"hidden_size": 48, "num_attention_heads": 4, "num_key_value_heads": 2},
        head_dim_not_hidden_over_heads={"head_dim": 20, "num_key_value_heads": 1},
        every_bias={"attention_bias": True, "mlp_bias": True},
        tied={"tie_word_embeddings": True},
        linear=_rope("linear", factor=3.0),
        llama3=_rope("llama3", **LLAMA3),
        yarn=_rope("yarn", factor=4.0, original_max_position_embeddings=29),
        yarn_mscale=_rope(
            "yarn", factor=4.0, original_max_position_embeddings=29, mscale=0.7, mscale_all_dim=0.9, beta_fast=8
        ),
        yarn_attention_factor=_rope("yarn", factor=2.0, original_max_position_embeddings=31, attention_factor=1.3),
        gelu={"hidden_act": "gelu"},
    ),
    Writer("llama", "saved-in-bf16", {"num_key_value_heads": 1}, torch.bfloat16),
]
LLAMA_RELATIVES = [
    *_cases("mistral", no_window={"sliding_window": None}, heads_of_64=HEADS_OF_64),
    *_cases(
        "qwen2",
        windows={"use_sliding_window": True, "sliding_window": 9, "max_window_layers": 2},
        layer_types={
            "use_sliding_window": True,
            "sliding_window": 5,
            "layer_types": ["sliding_attention", "full_attention"] * 2,
        },
        heads_of_80={key: value for key, value in HEADS_OF_80.items() if key != "head_dim"},
        tied={"tie_word_embeddings": True},
    ),
    *_cases(
        "qwen3",
        biased={"attention_bias": True},
        heads_of_64=HEADS_OF_64,
        heads_of_80={**HEADS_OF_80, "num_key_value_heads": 1},
        windows={"use_sliding_window": True, "sliding_window": 9, "max_window_layers": 1},
    ),
    *_cases("gemma", heads_of_80=HEADS_OF_80, legacy_gelu={"hidden_act": "gelu"}),
    *_cases("gemma2", uncapped={"attn_logit_softcapping": None, "final_logit_softcapping": None}),
    *_cases(
        "phi3",
        partial=_rope("default", partial_rotary_factor=0.5),
        partial_of_80={**HEADS_OF_80, **_rope("default", partial_rotary_factor=0.4)},
        window={"sliding_window": 9},
        tied={"tie_word_embeddings": True},
    ),
    *_cases(
        "smollm3",
        layers_without_positions={"no_rope_layers": [1, 0, 0, 1]},
        windows={"no_rope_layers": [1, 0, 1, 0], "use_sliding_window": True, "sliding_window": 9},
        biased={"attention_bias": True, "mlp_bias": True},
        heads_of_80={key: value for key, value in HEADS_OF_80.items() if key != "head_dim"},
    ),
]
OTHERS = [
    *_cases(
        "gpt_neo",
        heads_of_64={"hidden_size": 128, "num_heads": 2},
        heads_of_80={"hidden_size": 160, "num_heads": 2},
        all_local={"attention_types": [[["local"], 4]], "window_size": 5},
        untied={"tie_word_embeddings": False, "intermediate_size": 67},
    ),
    *_cases(
        "gpt_neox",
        heads_of_64={"hidden_size": 128, "num_attention_heads": 2, "rotary_pct": 0.25},
        heads_of_80={"hidden_size": 160, "num_attention_heads": 2, "rotary_pct": 0.25},
        all_turned={"rotary_pct": 1.0},
        sequential={"use_parallel_residual": False},
        no_bias_gelu_fast={"attention_bias": False, "hidden_act": "gelu_fast"},
        linear={"rope_parameters": {"rope_type": "linear", "factor": 2.0, "partial_rotary_factor": 0.34}},
        tied={"tie_word_embeddings": True},
    ),
    *_cases(
        "opt",
        heads_of_64={"hidden_size": 128, "num_attention_heads": 2},
        heads_of_80={"hidden_size": 160, "num_attention_heads": 2},
        norms_after={"do_layer_norm_before": False, "word_embed_proj_dim": 19},
        projected={"word_embed_proj_dim": 19},
        no_last_norm={"_remove_final_layer_norm": True},
        bare_norms_no_bias={"layer_norm_elementwise_affine": False, "enable_bias": False},
        untied_gelu={"tie_word_embeddings": False, "activation_function": "gelu"},
    ),
    *_cases(
        "bloom",
        heads_of_64={"hidden_size": 128, "n_head": 2},
        heads_of_80={"hidden_size": 80, "n_head": 1},
        twelve_heads={"hidden_size": 144, "n_head": 12},
        residual_after_norm={"apply_residual_connection_post_layernorm": True},
        untied={"tie_word_embeddings": False},
    ),
]
DECODERS = [*FAMILIES, *GPT2, *LLAMA, *LLAMA_RELATIVES, *OTHERS]
