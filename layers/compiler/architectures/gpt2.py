"""GPT-2 (Radford et al., 2019, "Language Models are Unsupervised Multitask Learners"): pre-norm, learned positions.

Its projections are stored [in_features, out_features], query, key and value side by side.
"""

from __future__ import annotations

import onnx_ir as ir

from layers.compiler.architectures.architecture import Generator, HfConfig
from layers.compiler.architectures.decoding import AttentionShape, Decoding
from layers.compiler.architectures.heads import tied
from layers.compiler.head_layout import HeadLayout
from layers.compiler.net import Net
from layers.compiler.stored import Projection
from layers.generation import CacheLayout

WORDS = "transformer.wte.weight"


def head_layout(config: HfConfig) -> HeadLayout:
    """No rotary positions, so that only the size matters."""
    return HeadLayout(config["n_embd"] // config["n_head"])


def scale_of(config: HfConfig, layer: int) -> float:
    """What multiplies a layer's scores."""
    scale = float((config["n_embd"] // config["n_head"]) ** -0.5) if config["scale_attn_weights"] else 1.0
    return scale / (layer + 1) if config["scale_attn_by_inverse_layer_idx"] else scale


def attention(net: Net, config: HfConfig, decoding: Decoding, layer: int, x: ir.Value) -> ir.Value:
    """c_proj(attention(c_attn(x))) [batch, sequence, hidden]."""
    hidden, heads = config["n_embd"], config["n_head"]
    at, layout = f"transformer.h.{layer}.attn", head_layout(config)
    parts = [Projection(f"{at}.c_attn", layout.picks(heads, start=part * hidden), transposed=True) for part in range(3)]
    shape = AttentionShape(heads, heads, layout, scale_of(config, layer))
    attended = decoding.self_attention(layer, shape, net.side_by_side(x, parts))
    return net.linear(attended, f"{at}.c_proj", columns=layout.picks(heads), transposed=True)


def decode(net: Net, config: HfConfig, decoding: Decoding) -> ir.Value:
    """logits [batch, positions, vocabulary]."""
    op, epsilon = net.op, config["layer_norm_epsilon"]
    positions = op.Gather(net.tensor("transformer.wpe.weight"), decoding.positions)
    hidden_states = op.Add(net.embed(decoding.input_ids, WORDS), positions)
    for layer in range(config["n_layer"]):
        at = f"transformer.h.{layer}"
        normed = net.layer_norm(hidden_states, f"{at}.ln_1", epsilon)
        hidden_states = op.Add(hidden_states, attention(net, config, decoding, layer, normed))
        if layer == config["n_layer"] - 1:
            hidden_states = decoding.wanted(hidden_states)
        normed = net.layer_norm(hidden_states, f"{at}.ln_2", epsilon)
        expanded = net.linear(normed, f"{at}.mlp.c_fc", activation=config["activation_function"], transposed=True)
        hidden_states = op.Add(hidden_states, net.linear(expanded, f"{at}.mlp.c_proj", transposed=True))
    last = net.layer_norm(hidden_states, "transformer.ln_f", epsilon)
    return net.linear(last, "lm_head", weight=tied(net, config, "lm_head.weight", WORDS), bias=None, vocabulary=True)


def cache(config: HfConfig) -> CacheLayout:
    """Every head has keys and values of its own."""
    return CacheLayout(layers=config["n_layer"], kv_heads=config["n_head"], head_dim=head_layout(config).padded)


GPT2 = Generator(
    model_type="gpt2",
    prefix="transformer",
    decode=decode,
    cache=cache,
    max_tokens=lambda config: config["n_positions"],
    unused=("*.attn.bias", "*.attn.masked_bias", "lm_head.weight"),
)
