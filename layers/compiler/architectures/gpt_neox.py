"""GPT-NeoX (arxiv.org/abs/2204.06745) and Pythia: rotary positions in part of each head, parallel residuals.

Query, key and value of a head lie side by side in one projection.
"""

from __future__ import annotations

import onnx_ir as ir

from layers.compiler.architectures.architecture import Generator, HfConfig
from layers.compiler.architectures.decoding import AttentionShape, Decoding
from layers.compiler.architectures.heads import tied
from layers.compiler.architectures.rotary import rotary_tables
from layers.compiler.head_layout import HeadLayout
from layers.compiler.net import Net
from layers.compiler.stored import Projection
from layers.generation import CacheLayout

WORDS = "gpt_neox.embed_in.weight"
# The vocabulary's projection is lm_head since transformers 5, and embed_out in every checkpoint before it.
PROJECTIONS = ("lm_head", "embed_out")


def layout_of(config: HfConfig) -> HeadLayout:
    """The turned part is a share of the head, rounded down."""
    size = config["hidden_size"] // config["num_attention_heads"]
    return HeadLayout(size, int(size * config["rope_parameters"].get("partial_rotary_factor", 1.0)))


def attention(
    net: Net, config: HfConfig, decoding: Decoding, layer: int, x: ir.Value, rotary: tuple[ir.Value, ir.Value]
) -> ir.Value:
    """dense(attention(query_key_value(x))) [batch, sequence, hidden]."""
    at, heads, layout = f"gpt_neox.layers.{layer}.attention", config["num_attention_heads"], layout_of(config)
    bias = "" if config["attention_bias"] else None
    picks = [layout.picks(heads, start=part * layout.size, stride=3 * layout.size) for part in range(3)]
    parts = [Projection(f"{at}.query_key_value", rows, bias) for rows in picks]
    shape = AttentionShape(heads, heads, layout, float(layout.size**-0.5), rotary)
    attended = decoding.self_attention(layer, shape, net.side_by_side(x, parts))
    return net.linear(attended, f"{at}.dense", columns=layout.picks(heads), bias=bias)


def feed_forward(net: Net, config: HfConfig, at: str, hidden_states: ir.Value) -> ir.Value:
    """dense_4h_to_h(activation(dense_h_to_4h(norm(x))))."""
    normed = net.layer_norm(hidden_states, f"{at}.post_attention_layernorm", config["layer_norm_eps"])
    expanded = net.linear(normed, f"{at}.mlp.dense_h_to_4h", activation=config["hidden_act"])
    return net.linear(expanded, f"{at}.mlp.dense_4h_to_h")


def decode(net: Net, config: HfConfig, decoding: Decoding) -> ir.Value:
    """logits [batch, positions, vocabulary]."""
    op, epsilon = net.op, config["layer_norm_eps"]
    rotary = rotary_tables(net, config["rope_parameters"], layout_of(config), config["max_position_embeddings"])
    hidden_states = net.embed(decoding.input_ids, WORDS)
    for layer in range(config["num_hidden_layers"]):
        at = f"gpt_neox.layers.{layer}"
        normed = net.layer_norm(hidden_states, f"{at}.input_layernorm", epsilon)
        attended = attention(net, config, decoding, layer, normed, rotary)
        if layer == config["num_hidden_layers"] - 1:
            hidden_states, attended = decoding.wanted(hidden_states), decoding.wanted(attended)
        beside = op.Add(hidden_states, attended)
        read = hidden_states if config["use_parallel_residual"] else beside
        hidden_states = op.Add(beside, feed_forward(net, config, at, read))
    last = net.layer_norm(hidden_states, "gpt_neox.final_layer_norm", epsilon)
    own = next((f"{name}.weight" for name in PROJECTIONS if f"{name}.weight" in net.checkpoint), "lm_head.weight")
    return net.linear(last, "lm_head", weight=tied(net, config, own, WORDS), bias=None, vocabulary=True)


def cache(config: HfConfig) -> CacheLayout:
    """Every head has keys and values of its own."""
    return CacheLayout(
        layers=config["num_hidden_layers"],
        kv_heads=config["num_attention_heads"],
        head_dim=layout_of(config).padded,
    )


GPT_NEOX = Generator(
    model_type="gpt_neox",
    prefix="gpt_neox",
    decode=decode,
    cache=cache,
    max_tokens=lambda config: config["max_position_embeddings"],
    unused=(
        "*.attention.bias",
        "*.attention.masked_bias",
        "*.rotary_emb.inv_freq",
        *(f"{name}.weight" for name in PROJECTIONS),
    ),
)
