"""OPT (arxiv.org/abs/2205.01068): learned positions two rows into their table, norms before the blocks or after them.

The 350M checkpoint embeds in fewer dimensions than it thinks in, and has no last norm.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from layers.compiler.architectures.architecture import Generator, HfConfig
from layers.compiler.architectures.decoding import AttentionShape, Decoding
from layers.compiler.architectures.heads import tied
from layers.compiler.head_layout import HeadLayout
from layers.compiler.net import Net
from layers.compiler.stored import Projection
from layers.generation import CacheLayout

WORDS = "model.decoder.embed_tokens.weight"
# transformers writes both into the code.
FIRST_POSITION = 2
EPSILON = 1e-5


def layout_of(config: HfConfig) -> HeadLayout:
    """No rotary positions, so that only the size matters."""
    return HeadLayout(config["hidden_size"] // config["num_attention_heads"])


def norm(net: Net, config: HfConfig, at: str, x: ir.Value) -> ir.Value:
    """Layer norm, which may have no weights of its own."""
    if config["layer_norm_elementwise_affine"]:
        return net.layer_norm(x, at, EPSILON)
    ones = net.constant("norm.ones", np.ones(config["hidden_size"], np.float32))
    return net.op.LayerNormalization(x, ones, axis=-1, epsilon=EPSILON)


def attention(net: Net, config: HfConfig, decoding: Decoding, layer: int, x: ir.Value) -> ir.Value:
    """out_proj(attention(q, k, v)) [batch, sequence, hidden]."""
    heads, layout = config["num_attention_heads"], layout_of(config)
    at, bias = f"model.decoder.layers.{layer}.self_attn", "" if config["enable_bias"] else None
    parts = [Projection(f"{at}.{part}_proj", layout.picks(heads), bias) for part in "qkv"]
    shape = AttentionShape(heads, heads, layout, float(layout.size**-0.5))
    attended = decoding.self_attention(layer, shape, net.side_by_side(x, parts))
    return net.linear(attended, f"{at}.out_proj", columns=layout.picks(heads), bias=bias)


def feed_forward(net: Net, config: HfConfig, at: str, x: ir.Value) -> ir.Value:
    """fc2(activation(fc1(x)))."""
    bias = "" if config["enable_bias"] else None
    expanded = net.linear(x, f"{at}.fc1", activation=config["activation_function"], bias=bias)
    return net.linear(expanded, f"{at}.fc2", bias=bias)


def embeddings(net: Net, config: HfConfig, decoding: Decoding) -> ir.Value:
    """words + positions [batch, sequence, hidden]."""
    op = net.op
    words = net.embed(decoding.input_ids, WORDS)
    if config["word_embed_proj_dim"] != config["hidden_size"]:
        words = net.linear(words, "model.decoder.project_in", bias=None)
    first = net.constant("first_position", np.array(FIRST_POSITION, np.int64))
    places = op.Add(decoding.positions, first)
    return op.Add(words, op.Gather(net.tensor("model.decoder.embed_positions.weight"), places))


def decode(net: Net, config: HfConfig, decoding: Decoding) -> ir.Value:
    """logits [batch, positions, vocabulary]."""
    op, before = net.op, config["do_layer_norm_before"]
    hidden_states = embeddings(net, config, decoding)
    for layer in range(config["num_hidden_layers"]):
        at = f"model.decoder.layers.{layer}"
        own, last = f"{at}.self_attn_layer_norm", f"{at}.final_layer_norm"
        read = norm(net, config, own, hidden_states) if before else hidden_states
        hidden_states = op.Add(hidden_states, attention(net, config, decoding, layer, read))
        if layer == config["num_hidden_layers"] - 1:
            hidden_states = decoding.wanted(hidden_states)
        hidden_states = hidden_states if before else norm(net, config, own, hidden_states)
        read = norm(net, config, last, hidden_states) if before else hidden_states
        hidden_states = op.Add(hidden_states, feed_forward(net, config, at, read))
        hidden_states = hidden_states if before else norm(net, config, last, hidden_states)
    if before and not config["_remove_final_layer_norm"]:
        hidden_states = norm(net, config, "model.decoder.final_layer_norm", hidden_states)
    if config["word_embed_proj_dim"] != config["hidden_size"]:
        hidden_states = net.linear(hidden_states, "model.decoder.project_out", bias=None)
    weight = tied(net, config, "lm_head.weight", WORDS)
    return net.linear(hidden_states, "lm_head", weight=weight, bias=None, vocabulary=True)


def cache(config: HfConfig) -> CacheLayout:
    """Every head has keys and values of its own."""
    return CacheLayout(
        layers=config["num_hidden_layers"],
        kv_heads=config["num_attention_heads"],
        head_dim=layout_of(config).padded,
    )


OPT = Generator(
    model_type="opt",
    prefix="model",
    decode=decode,
    cache=cache,
    max_tokens=lambda config: config["max_position_embeddings"],
    unused=("lm_head.weight",),
)
