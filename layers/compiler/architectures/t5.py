"""T5 (arxiv.org/abs/1910.10683) and mT5: pre-norm encoder and decoder, RMS norms, no biases, unscaled scores.

Scores get a bias by distance, one table a stack and the same in every layer: laid out once per call. v1.1 and mT5
have a gated feed-forward, and do not scale what the vocabulary is multiplied with.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from layers.compiler.architectures import relative
from layers.compiler.architectures.architecture import EncoderInputs, Generator, HfConfig
from layers.compiler.architectures.bert import padding_mask
from layers.compiler.architectures.crossing import cross_outputs
from layers.compiler.architectures.decoding import AttentionShape, Decoding
from layers.compiler.architectures.heads import tied
from layers.compiler.head_layout import HeadLayout
from layers.compiler.net import Net
from layers.compiler.stored import Projection
from layers.generation import CacheLayout

# Sources have no end, but the encoder's bias is laid out from a table by distance, and memory grows as its square.
SOURCE_TOKENS = 4096
WORDS = "shared.weight"


def buckets(distances: NDArray[np.int64], config: HfConfig, *, both_ways: bool) -> NDArray[np.int64]:
    """The bucket of each key - query; in float32, whose rounding decides at the borders."""
    count, farthest = config["relative_attention_num_buckets"], config["relative_attention_max_distance"]
    first = np.zeros_like(distances)
    if both_ways:
        count //= 2
        first = np.where(distances > 0, count, 0)
        away = np.abs(distances)
    else:
        away = np.maximum(-distances, 0)
    exact = count // 2
    with np.errstate(divide="ignore"):
        steps = np.log(away.astype(np.float32) / np.float32(exact)) / np.float32(math.log(farthest / exact))
        far = exact + (np.maximum(steps, 0) * np.float32(count - exact)).astype(np.int64)
    return first + np.where(away < exact, away, np.minimum(far, count - 1))


def encoder_bias(net: Net, config: HfConfig, input_ids: ir.Value) -> ir.Value:
    """[1, heads, source, source]."""
    name = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    net.checkpoint.used.add(name)

    def by_distance() -> NDArray[np.float32]:
        rows = net.checkpoint.read(name)[buckets(relative.distances(SOURCE_TOKENS), config, both_ways=True)]
        return np.ascontiguousarray(rows.T[None, :, None], np.float32)

    shape = (1, config["num_heads"], 1, 2 * SOURCE_TOKENS)
    table = net.lazy(f"{name}.by_distance", ir.DataType.FLOAT, shape, by_distance)
    return relative.bias(net, table, net.op.Shape(input_ids, start=1, end=2), SOURCE_TOKENS)


def decoder_bias(net: Net, config: HfConfig, decoding: Decoding) -> ir.Value:
    """[batch, heads, sequence, total_length]: rows of a batch may be at different places."""
    op = net.op
    name = "decoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    farthest = config["relative_attention_max_distance"]
    net.checkpoint.used.add(name)

    def by_distance() -> NDArray[np.float32]:
        return np.asarray(
            net.checkpoint.read(name)[buckets(-np.arange(farthest + 1), config, both_ways=False)], np.float32
        )

    # From max_distance on, every distance is in the last bucket.
    table = net.lazy(f"{name}.by_distance", ir.DataType.FLOAT, (farthest + 1, config["num_heads"]), by_distance)
    away = op.Sub(op.Unsqueeze(decoding.positions, [2]), decoding.key_positions)
    limits = (net.constant(f"distance.{limit}", np.array(limit, np.int64)) for limit in (0, farthest))
    return op.Transpose(op.Gather(table, op.Clip(away, *limits)), perm=[0, 3, 1, 2])


def layout_of(config: HfConfig) -> HeadLayout:
    """Of the decoder's own attention; cross-attention takes any size."""
    return HeadLayout(config["d_kv"])


def norm(net: Net, config: HfConfig, at: str, x: ir.Value) -> ir.Value:
    """RMS norm."""
    return net.rms_norm(x, f"{at}.layer_norm", config["layer_norm_epsilon"])


def feed_forward(net: Net, config: HfConfig, at: str, hidden_states: ir.Value) -> ir.Value:
    """hidden_states + wo(activation(wi(x))), gated or not."""
    x, at = norm(net, config, at, hidden_states), f"{at}.DenseReluDense"
    activation = config["dense_act_fn"]
    if config["is_gated_act"]:
        gate = net.linear(x, f"{at}.wi_0", bias=None, activation=activation)
        expanded = net.op.Mul(gate, net.linear(x, f"{at}.wi_1", bias=None))
    else:
        expanded = net.linear(x, f"{at}.wi", bias=None, activation=activation)
    return net.op.Add(hidden_states, net.linear(expanded, f"{at}.wo", bias=None))


def encode(net: Net, config: HfConfig, inputs: EncoderInputs) -> Mapping[str, ir.Value]:
    """The keys and values of every decoder layer's cross-attention."""
    op, heads = net.op, config["num_heads"]
    hidden_states = net.embed(inputs.input_ids, tied(net, config, "encoder.embed_tokens.weight", WORDS))
    padding, bias = padding_mask(net, inputs.attention_mask), encoder_bias(net, config, inputs.input_ids)
    for index in range(config["num_layers"]):
        at = f"encoder.block.{index}.layer"
        x = norm(net, config, f"{at}.0", hidden_states)
        parts = [Projection(f"{at}.0.SelfAttention.{part}", bias=None) for part in "qkv"]
        query, key, value = net.projected(x, parts)
        attended = net.attention(query, key, value, heads=heads, key_padding_mask=padding, bias=bias, scale=1.0)
        attended = net.linear(attended, f"{at}.0.SelfAttention.o", bias=None)
        hidden_states = feed_forward(net, config, f"{at}.1", op.Add(hidden_states, attended))
    source = net.rms_norm(hidden_states, "encoder.final_layer_norm", config["layer_norm_epsilon"])
    modules = [f"decoder.block.{index}.layer.1.EncDecAttention" for index in range(config["num_decoder_layers"])]
    projections = [tuple(net.linear(source, f"{at}.{part}", bias=None) for part in "kv") for at in modules]
    return cross_outputs(net, projections, heads, config["d_kv"])


def decode(net: Net, config: HfConfig, decoding: Decoding) -> ir.Value:
    """logits [batch, positions, vocabulary]."""
    op, heads, layout = net.op, config["num_heads"], layout_of(config)
    hidden_states = net.embed(decoding.input_ids, tied(net, config, "decoder.embed_tokens.weight", WORDS))
    shape = AttentionShape(heads, heads, layout, scale=1.0, bias=decoder_bias(net, config, decoding))
    for index in range(config["num_decoder_layers"]):
        at = f"decoder.block.{index}.layer"
        x, own = norm(net, config, f"{at}.0", hidden_states), f"{at}.0.SelfAttention"
        parts = [Projection(f"{own}.{part}", layout.picks(heads), bias=None) for part in "qkv"]
        attended = decoding.self_attention(index, shape, net.side_by_side(x, parts))
        attended = net.linear(attended, f"{own}.o", columns=layout.picks(heads), bias=None)
        hidden_states = op.Add(hidden_states, attended)
        if index == config["num_decoder_layers"] - 1:
            hidden_states = decoding.wanted(hidden_states)
        x, cross = norm(net, config, f"{at}.1", hidden_states), f"{at}.1.EncDecAttention"
        attended = decoding.cross_attention(index, net.linear(x, f"{cross}.q", bias=None), scale=1.0)
        hidden_states = op.Add(hidden_states, net.linear(attended, f"{cross}.o", bias=None))
        hidden_states = feed_forward(net, config, f"{at}.2", hidden_states)
    last = net.rms_norm(hidden_states, "decoder.final_layer_norm", config["layer_norm_epsilon"])
    if config.get("scale_decoder_outputs", False):
        last = op.Mul(last, net.constant("output_scale", np.array(config["d_model"] ** -0.5, np.float32)))
    # transformers 5 calls every T5 tied, and unties those that hold a projection with other values (v1.1).
    weight = tied(net, config, "lm_head.weight", WORDS)
    return net.linear(last, "lm_head", weight=weight, bias=None, vocabulary=True)


def cache(config: HfConfig) -> CacheLayout:
    """Cross keys and values keep their true size."""
    return CacheLayout(
        layers=config["num_decoder_layers"],
        kv_heads=config["num_heads"],
        head_dim=layout_of(config).padded,
        cross_heads=config["num_heads"],
        cross_head_dim=config["d_kv"],
    )


T5, MT5 = (
    Generator(
        model_type=model_type,
        prefix="",
        decode=decode,
        cache=cache,
        max_tokens=lambda _config: None,
        encode=encode,
        source_max_tokens=lambda _config: SOURCE_TOKENS,
        # A table that older checkpoints carry and transformers ignores too.
        unused=("decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight",),
    )
    for model_type in ("t5", "mt5")
)
