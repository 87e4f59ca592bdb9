"""DistilBERT (arxiv.org/abs/1910.01108): BERT's layer under other names, with no token types and no pooler."""

from __future__ import annotations

import onnx_ir as ir

from layers.compiler.architectures import heads
from layers.compiler.architectures.architecture import Architecture, EncoderInputs, HfConfig
from layers.compiler.architectures.bert import (
    LayerNames,
    LayerShape,
    counted_positions,
    encoder_layer,
    padding_mask,
)
from layers.compiler.net import Net

# transformers writes this constant into every norm of the family; the configuration has no key for it.
EPSILON = 1e-12
NAMES = LayerNames(
    query="attention.q_lin",
    key="attention.k_lin",
    value="attention.v_lin",
    attention_output="attention.out_lin",
    attention_norm="sa_layer_norm",
    intermediate="ffn.lin1",
    output="ffn.lin2",
    output_norm="output_layer_norm",
)


def encode(net: Net, config: HfConfig, inputs: EncoderInputs) -> ir.Value:
    """last_hidden_state [batch, sequence, hidden]."""
    at = "distilbert.embeddings"
    words = net.embed(inputs.input_ids, f"{at}.word_embeddings.weight")
    positions = counted_positions(net, inputs.input_ids, f"{at}.position_embeddings.weight")
    hidden_states = net.layer_norm(net.op.Add(words, positions), f"{at}.LayerNorm", EPSILON)
    shape = LayerShape(config["n_heads"], config["activation"], EPSILON, NAMES)
    padding = padding_mask(net, inputs.attention_mask)
    for index in range(config["n_layers"]):
        hidden_states = encoder_layer(net, shape, f"distilbert.transformer.layer.{index}", hidden_states, padding)
    return hidden_states


DISTILBERT = Architecture(
    model_type="distilbert",
    prefix="distilbert",
    encode=encode,
    heads={
        "sequence-classification": heads.first_token_classifier("pre_classifier", "relu", "classifier"),
        "token-classification": heads.token_classifier(),
        "question-answering": heads.span(),
        "masked-lm": heads.masked_lm(
            "vocab_transform",
            "config.activation",
            "vocab_layer_norm",
            EPSILON,
            words="distilbert.embeddings.word_embeddings.weight",
            decoder="vocab_projector",
            bias="vocab_projector.bias",
        ),
        "encoder": heads.last_hidden_state,
    },
    max_tokens=lambda config: config["max_position_embeddings"],
    reads_token_types=lambda _config: False,
    unused=("*.position_ids", "vocab_*", "pre_classifier.*", "classifier.*", "qa_outputs.*"),
)
