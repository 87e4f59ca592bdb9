"""ModernBERT (arxiv.org/abs/2412.13663): pre-norm, gated feed-forward, rotary positions, windows in most layers.

The sliding window is a bias by distance, laid out once per call; the rotary tables of the two kinds of layer differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from layers.compiler.architectures import heads, relative
from layers.compiler.architectures.architecture import Architecture, EncoderInputs, HfConfig
from layers.compiler.architectures.bert import padding_mask
from layers.compiler.net import Net
from layers.compiler.plan import MASKED
from layers.errors import UnsupportedError

FULL, SLIDING = "full_attention", "sliding_attention"


@dataclass(frozen=True)
class Attention:
    """One kind of layer: rotary tables [longest, head_size / 2] and the window's bias, where it has one."""

    cosines: ir.Value
    sines: ir.Value
    window: ir.Value | None


def rotary_angles(theta: float, head_size: int, longest: int) -> NDArray[np.float32]:
    """Position times frequency [longest, head_size / 2] (arxiv.org/abs/2104.09864), in float32 as torch has it."""
    exponents = np.arange(0, head_size, 2, dtype=np.float32) / np.float32(head_size)
    frequencies = np.float32(1.0) / np.power(theta, exponents.astype(np.float64)).astype(np.float32)
    return np.asarray(np.outer(np.arange(longest, dtype=np.float32), frequencies), np.float32)


def attention_of(net: Net, config: HfConfig, kind: str, length: ir.Value) -> Attention:
    """What the layers of a kind share. Raises UnsupportedError for a rotary scaling that is not written."""
    rope = config["rope_parameters"][kind]
    if rope["rope_type"] != "default":
        raise UnsupportedError(
            f"rope_type of {kind}, for {net.checkpoint.title}: got {rope['rope_type']!r}, expected 'default'. "
            "Add its angles to layers/compiler/architectures/modernbert.py."
        )
    longest = config["max_position_embeddings"]
    half = config["hidden_size"] // config["num_attention_heads"] // 2

    def table(function: np.ufunc) -> ir.Value:
        name = f"rotary.{kind}.{function.__name__}"
        shape = (longest, half)
        return net.lazy(
            name,
            ir.DataType.FLOAT,
            shape,
            lambda: function(rotary_angles(float(rope["rope_theta"]), 2 * half, longest)),
        )

    window = None
    if kind == SLIDING:
        reach = config["local_attention"] // 2
        visible = np.abs(relative.distances(longest)) <= reach
        by_distance = np.where(visible, 0, MASKED).astype(np.float32)[None, None, None]
        window = relative.bias(net, net.constant("window.by_distance", by_distance), length, longest)
    return Attention(table(np.cos), table(np.sin), window)


def self_attention(
    net: Net, config: HfConfig, at: str, x: ir.Value, padding: ir.Value, attention: Attention
) -> ir.Value:
    """Wo(attention(rotate(q), rotate(k), v)) [batch, sequence, hidden]; q, k and v are rows of Wqkv."""
    hidden, count = config["hidden_size"], config["num_attention_heads"]
    bias = "" if config["attention_bias"] else None
    query, key, value = (
        net.linear(x, f"{at}.Wqkv", rows=(part * hidden, (part + 1) * hidden), bias=bias) for part in range(3)
    )
    start = net.constant("position.0", np.zeros(1, np.int64))
    query, key = (net.ms.RotaryEmbedding(part, start, attention.cosines, attention.sines) for part in (query, key))
    attended = net.attention(query, key, value, heads=count, key_padding_mask=padding, bias=attention.window)
    return net.linear(attended, f"{at}.Wo", bias=bias)


def gated_feed_forward(net: Net, config: HfConfig, at: str, x: ir.Value) -> ir.Value:
    """Wo(activation(input) * gate), where input and gate are the halves of Wi's outputs."""
    size = int(config["intermediate_size"])
    bias = "" if config["mlp_bias"] else None
    expanded = net.linear(x, f"{at}.Wi", rows=(0, size), bias=bias, activation=config["hidden_activation"])
    gate = net.linear(x, f"{at}.Wi", rows=(size, 2 * size), bias=bias)
    return net.linear(net.op.Mul(expanded, gate), f"{at}.Wo", bias=bias)


def norm(net: Net, config: HfConfig, at: str, x: ir.Value) -> ir.Value:
    """Every norm of the family has or lacks a bias as `norm_bias` says."""
    return net.layer_norm(x, at, config["norm_eps"], bias=config["norm_bias"])


def encode(net: Net, config: HfConfig, inputs: EncoderInputs) -> ir.Value:
    """last_hidden_state [batch, sequence, hidden]."""
    words = net.embed(inputs.input_ids, "model.embeddings.tok_embeddings.weight")
    hidden_states = norm(net, config, "model.embeddings.norm", words)
    length = net.op.Shape(inputs.input_ids, start=1, end=2)
    padding = padding_mask(net, inputs.attention_mask)
    kinds = {kind: attention_of(net, config, kind, length) for kind in dict.fromkeys(config["layer_types"])}
    for index, kind in enumerate(config["layer_types"]):
        at = f"model.layers.{index}"
        # The embeddings are already normalized.
        normed = norm(net, config, f"{at}.attn_norm", hidden_states) if index else hidden_states
        attended = self_attention(net, config, f"{at}.attn", normed, padding, kinds[kind])
        hidden_states = net.op.Add(hidden_states, attended)
        normed = norm(net, config, f"{at}.mlp_norm", hidden_states)
        hidden_states = net.op.Add(hidden_states, gated_feed_forward(net, config, f"{at}.mlp", normed))
    return norm(net, config, "model.final_norm", hidden_states)


def prediction_head(net: Net, config: HfConfig, x: ir.Value, *, exact: bool = False) -> ir.Value:
    """norm(activation(dense(x))), which every head of the family begins with."""
    bias = "" if config["classifier_bias"] else None
    dense = net.linear(x, "head.dense", activation=config["classifier_activation"], bias=bias, exact=exact)
    return norm(net, config, "head.norm", dense)


def sequence_classifier(net: Net, config: HfConfig, hidden_states: ir.Value, mask: ir.Value) -> Mapping[str, ir.Value]:
    """The first token or the mean of the real ones -> logits [batch, labels]."""
    if config["classifier_pooling"] == "cls":
        pooled = net.first_token(hidden_states)
    else:
        weights = net.op.Cast(mask, to=net.reals)
        summed = net.op.Squeeze(net.op.MatMul(net.op.Unsqueeze(weights, [1]), hidden_states), [1])
        pooled = net.op.Div(summed, net.op.ReduceSum(weights, [1], keepdims=1))
    return {"logits": net.linear(prediction_head(net, config, pooled, exact=True), "classifier", exact=True)}


def token_classifier(net: Net, config: HfConfig, hidden_states: ir.Value, mask: ir.Value) -> Mapping[str, ir.Value]:
    """logits [batch, sequence, labels]."""
    return heads.token_classifier()(net, config, prediction_head(net, config, hidden_states), mask)


def span(net: Net, config: HfConfig, hidden_states: ir.Value, mask: ir.Value) -> Mapping[str, ir.Value]:
    """start_logits and end_logits, each [batch, sequence]."""
    return heads.span("classifier")(net, config, prediction_head(net, config, hidden_states), mask)


def masked_lm(net: Net, config: HfConfig, hidden_states: ir.Value, _mask: ir.Value) -> Mapping[str, ir.Value]:
    """logits [batch, sequence, vocabulary]."""
    weight = heads.tied(net, config, "decoder.weight", "model.embeddings.tok_embeddings.weight")
    bias = "" if config["decoder_bias"] else None
    transformed = prediction_head(net, config, hidden_states)
    return {"logits": net.linear(transformed, "decoder", weight=weight, bias=bias)}


MODERNBERT = Architecture(
    model_type="modernbert",
    prefix="model",
    encode=encode,
    heads={
        "sequence-classification": sequence_classifier,
        "token-classification": token_classifier,
        "question-answering": span,
        "masked-lm": masked_lm,
        "encoder": heads.last_hidden_state,
    },
    max_tokens=lambda config: config["max_position_embeddings"],
    reads_token_types=lambda _config: False,
    unused=("head.*", "decoder.*", "classifier.*"),
)
