"""ALBERT (arxiv.org/abs/1909.11942): BERT with factored embeddings and layers that share their weights.

A shared layer is written once per use, over the same initializers; each use is a site of its own in the plan,
because it sees other activations.
"""

from __future__ import annotations

import onnx_ir as ir

from layers.compiler.architectures import heads
from layers.compiler.architectures.architecture import Architecture, EncoderInputs, HfConfig
from layers.compiler.architectures.bert import LayerNames, LayerShape, embeddings, encoder_layer, padding_mask
from layers.compiler.net import Net

NAMES = LayerNames(
    query="attention.query",
    key="attention.key",
    value="attention.value",
    attention_output="attention.dense",
    attention_norm="attention.LayerNorm",
    intermediate="ffn",
    output="ffn_output",
    output_norm="full_layer_layer_norm",
)


def encode(net: Net, config: HfConfig, inputs: EncoderInputs) -> ir.Value:
    """last_hidden_state [batch, sequence, hidden]."""
    hidden_states = embeddings(net, config, inputs, "albert.embeddings", fairseq_positions=False)
    hidden_states = net.linear(hidden_states, "albert.encoder.embedding_hidden_mapping_in")
    shape = LayerShape(config["num_attention_heads"], config["hidden_act"], config["layer_norm_eps"], NAMES)
    padding = padding_mask(net, inputs.attention_mask)
    layers_per_group = config["num_hidden_layers"] / config["num_hidden_groups"]
    for index in range(config["num_hidden_layers"]):
        group = f"albert.encoder.albert_layer_groups.{int(index / layers_per_group)}"
        for inner in range(config["inner_group_num"]):
            hidden_states = encoder_layer(net, shape, f"{group}.albert_layers.{inner}", hidden_states, padding)
    return hidden_states


ALBERT = Architecture(
    model_type="albert",
    prefix="albert",
    encode=encode,
    heads={
        "sequence-classification": heads.first_token_classifier("albert.pooler", "tanh", "classifier"),
        "token-classification": heads.token_classifier(),
        "question-answering": heads.span(),
        "masked-lm": heads.masked_lm(
            "predictions.dense",
            "config.hidden_act",
            "predictions.LayerNorm",
            "config.layer_norm_eps",
            words="albert.embeddings.word_embeddings.weight",
            decoder="predictions.decoder",
            bias="predictions.bias",
        ),
        "encoder": heads.last_hidden_state,
    },
    max_tokens=lambda config: config["max_position_embeddings"],
    reads_token_types=lambda config: config["type_vocab_size"] > 1,
    unused=("*.position_ids", "albert.pooler.*", "predictions.*", "sop_classifier.*", "classifier.*", "qa_outputs.*"),
)
