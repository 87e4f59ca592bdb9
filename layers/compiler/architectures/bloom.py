"""BLOOM (arxiv.org/abs/2211.05100): no position embeddings; ALiBi (arxiv.org/abs/2108.12409) favours near keys instead.

Query, key and value of a head lie side by side in one projection.
"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from layers.compiler.architectures.architecture import Generator, HfConfig
from layers.compiler.architectures.decoding import AttentionShape, Decoding
from layers.compiler.architectures.heads import tied
from layers.compiler.head_layout import HeadLayout
from layers.compiler.net import Net
from layers.compiler.stored import Projection
from layers.generation import CacheLayout

WORDS = "transformer.word_embeddings.weight"
# Positions have no end; this is what BLOOM was trained on.
TRAINED_TOKENS = 2048


def slopes(heads: int) -> NDArray[np.float32]:
    """What a head adds to a score per position [heads]: powers of 2^(-8/n), those between for other counts."""
    nearest = 2 ** math.floor(math.log2(heads))
    ratio = np.float32(2 ** (-(2 ** -(math.log2(nearest) - 3))))
    exponents = np.arange(1, nearest + 1)
    found = np.power(ratio, exponents, dtype=np.float32)
    if nearest < heads:
        between = np.float32(2 ** (-(2 ** -(math.log2(2 * nearest) - 3))))
        extra = np.arange(1, 2 * min(nearest, heads - nearest), 2)
        found = np.concatenate([found, np.power(between, extra, dtype=np.float32)])
    return np.asarray(found, np.float32)


def alibi(net: Net, config: HfConfig, decoding: Decoding) -> ir.Value:
    """[1, heads, sequence, total_length]: slope * key position; a row's own position moves all its scores alike."""
    op, heads = net.op, config["n_head"]
    by_head = net.constant("alibi.slopes", slopes(heads).reshape(1, heads, 1, 1))
    row = op.Mul(by_head, op.Cast(decoding.key_positions, to=net.reals))
    new, total = op.Shape(decoding.input_ids, start=1, end=2), op.Shape(decoding.key_positions)
    return op.Expand(row, op.Concat([1, heads], new, total, axis=0))


def layout_of(config: HfConfig) -> HeadLayout:
    """No rotary positions, so that only the size matters."""
    return HeadLayout(config["hidden_size"] // config["n_head"])


def attention(net: Net, config: HfConfig, decoding: Decoding, layer: int, x: ir.Value, bias: ir.Value) -> ir.Value:
    """dense(attention(query_key_value(x))) [batch, sequence, hidden]."""
    at, heads, layout = f"transformer.h.{layer}.self_attention", config["n_head"], layout_of(config)
    picks = [layout.picks(heads, start=part * layout.size, stride=3 * layout.size) for part in range(3)]
    parts = [Projection(f"{at}.query_key_value", rows) for rows in picks]
    shape = AttentionShape(heads, heads, layout, float(layout.size**-0.5), bias=bias)
    attended = decoding.self_attention(layer, shape, net.side_by_side(x, parts))
    return net.linear(attended, f"{at}.dense", columns=layout.picks(heads))


def decode(net: Net, config: HfConfig, decoding: Decoding) -> ir.Value:
    """logits [batch, positions, vocabulary]."""
    op, epsilon = net.op, config["layer_norm_epsilon"]
    words = net.embed(decoding.input_ids, WORDS)
    hidden_states = net.layer_norm(words, "transformer.word_embeddings_layernorm", epsilon)
    bias, after_norm = alibi(net, config, decoding), config["apply_residual_connection_post_layernorm"]
    for layer in range(config["n_layer"]):
        at = f"transformer.h.{layer}"
        normed = net.layer_norm(hidden_states, f"{at}.input_layernorm", epsilon)
        attended = attention(net, config, decoding, layer, normed, bias)
        hidden_states = op.Add(normed if after_norm else hidden_states, attended)
        if layer == config["n_layer"] - 1:
            hidden_states = decoding.wanted(hidden_states)
        normed = net.layer_norm(hidden_states, f"{at}.post_attention_layernorm", epsilon)
        expanded = net.linear(normed, f"{at}.mlp.dense_h_to_4h", activation="gelu_new")
        contracted = net.linear(expanded, f"{at}.mlp.dense_4h_to_h")
        hidden_states = op.Add(normed if after_norm else hidden_states, contracted)
    last = net.layer_norm(hidden_states, "transformer.ln_f", epsilon)
    return net.linear(last, "lm_head", weight=tied(net, config, "lm_head.weight", WORDS), bias=None, vocabulary=True)


def cache(config: HfConfig) -> CacheLayout:
    """Every head has keys and values of its own."""
    return CacheLayout(layers=config["n_layer"], kv_heads=config["n_head"], head_dim=layout_of(config).padded)


BLOOM = Generator(
    model_type="bloom",
    prefix="transformer",
    decode=decode,
    cache=cache,
    max_tokens=lambda config: config.get("seq_length") or TRAINED_TOKENS,
    unused=("lm_head.weight",),
)
