"""What a configuration may change, one checkpoint each."""

from __future__ import annotations

from typing import Any

import torch

from tests.compiler.checkpoints import Case


def _cases(family: str, head: str, **options: dict[str, Any]) -> list[Case]:
    return [Case(family, head, option, name=f"{family}-{name}") for name, option in options.items()]


ACTIVATIONS = [
    Case(family, "masked-lm", {"hidden_act": name}, name=f"{family}-{name}")
    for family in ("bert", "albert")
    for name in ("gelu", "gelu_new", "gelu_fast", "gelu_pytorch_tanh", "quick_gelu", "relu", "silu", "swish", "tanh")
]
UNTIED = [
    Case(family, "masked-lm", {"tie_word_embeddings": False}, name=f"{family}-untied")
    for family in ("bert", "distilbert", "electra", "roberta", "mpnet", "albert", "deberta-v2", "modernbert")
]
TOKEN_TYPES = [
    Case(family, "encoder", {"type_vocab_size": count}, name=f"{family}-{count}-token-types")
    for family in ("bert", "electra", "albert", "deberta-v2")
    for count in (1, 2)
]
SAVED = [
    Case("bert", "masked-lm", dtype=torch.float16, name="bert-saved-in-fp16"),
    Case("modernbert", "masked-lm", dtype=torch.bfloat16, name="modernbert-saved-in-bf16"),
    Case("bert", "sequence-classification", max_shard_size="40KB", name="bert-sharded"),
    Case("deberta-v2", "encoder", max_shard_size="40KB", name="deberta-v2-sharded"),
]
ALBERT = _cases(
    "albert",
    "masked-lm",
    groups={"num_hidden_groups": 2},
    inner_groups={"inner_group_num": 2},
    both_groups={"num_hidden_groups": 3, "inner_group_num": 2},
)
ELECTRA = _cases("electra", "masked-lm", unfactored={"embedding_size": 36})
ROBERTA = _cases("roberta", "encoder", pad_zero={"pad_token_id": 0}, two_token_types={"type_vocab_size": 2})
MPNET = _cases(
    "mpnet",
    "encoder",
    other_pad={"pad_token_id": 0},
    more_buckets={"relative_attention_num_buckets": 40},
    beyond_the_last_bucket={"max_position_embeddings": 302},
)
# v2-xlarge: unshared projections, a convolution, sharing only for the first checkpoints.
DEBERTA_V2_STYLE = {"norm_rel_ebd": "layer_norm", "share_att_key": True, "conv_kernel_size": 3, "conv_act": "gelu"}
DEBERTA = [
    *_cases(
        "deberta-v2",
        "encoder",
        v2_xlarge=DEBERTA_V2_STYLE,
        own_projections={"share_att_key": False},
        own_projections_c2p={"share_att_key": False, "pos_att_type": ["c2p"]},
        own_projections_p2c={"share_att_key": False, "pos_att_type": "p2c"},
        c2p={"pos_att_type": "c2p"},
        p2c={"pos_att_type": "p2c"},
        no_terms={"pos_att_type": None},
        no_relative_norm={"norm_rel_ebd": "none"},
        no_buckets={"position_buckets": -1},
        no_buckets_short_span={"position_buckets": -1, "max_relative_positions": 11},
        few_buckets_far={"position_buckets": 8, "max_relative_positions": 300, "max_position_embeddings": 203},
        absolute={"relative_attention": False, "position_biased_input": True},
        absolute_with_terms_named={"relative_attention": False, "position_biased_input": True, "share_att_key": False},
        relative_and_absolute={"position_biased_input": True},
        token_types={"type_vocab_size": 2, "position_biased_input": True},
        factored={"embedding_size": 19, "position_biased_input": True, "type_vocab_size": 2},
        grouped_convolution={"conv_kernel_size": 5, "conv_groups": 3},
    ),
    *_cases(
        "deberta-v2",
        "sequence-classification",
        pooler_tanh={"pooler_hidden_act": "tanh"},
        classifier_v2_xlarge=DEBERTA_V2_STYLE,
    ),
    *_cases("deberta-v2", "masked-lm", authors_head={"legacy": False}, factored_masked_lm={"embedding_size": 19}),
]
MODERNBERT = [
    *_cases(
        "modernbert",
        "encoder",
        all_global={"global_attn_every_n_layers": 1},
        all_but_first_local={"global_attn_every_n_layers": 9, "local_attention": 4},
        layer_types={"layer_types": ["sliding_attention", "full_attention"] * 2 + ["sliding_attention"]},
        wide_window={"local_attention": 128},
        thetas={
            "rope_parameters": {
                "full_attention": {"rope_type": "default", "rope_theta": 500.0},
                "sliding_attention": {"rope_type": "default", "rope_theta": 30.0},
            }
        },
        legacy_thetas={"global_rope_theta": 700.0, "local_rope_theta": 50.0},
        long={"max_position_embeddings": 401},
    ),
    *_cases(
        "modernbert",
        "sequence-classification",
        pooled_mean={"classifier_pooling": "mean"},
        every_bias={"attention_bias": True, "norm_bias": True, "mlp_bias": True, "classifier_bias": True},
        silu={"hidden_activation": "silu", "classifier_activation": "relu"},
    ),
    *_cases(
        "modernbert",
        "masked-lm",
        every_bias_masked_lm={"attention_bias": True, "norm_bias": True, "mlp_bias": True, "classifier_bias": True},
        no_decoder_bias={"decoder_bias": False},
        untied_no_decoder_bias={"decoder_bias": False, "tie_word_embeddings": False},
    ),
]
VARIATIONS = [
    *ACTIVATIONS,
    *UNTIED,
    *TOKEN_TYPES,
    *SAVED,
    *ALBERT,
    *ELECTRA,
    *ROBERTA,
    *MPNET,
    *DEBERTA,
    *MODERNBERT,
]
