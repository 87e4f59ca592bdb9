"""GPT-Neo (Black et al., 2021): GPT-2's layer with plain projections, unscaled scores, and a window in every other."""

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
LOCAL = "local"


def layout_of(config: HfConfig) -> HeadLayout:
    """No rotary positions, so that only the size matters."""
    return HeadLayout(config["hidden_size"] // config["num_heads"])


def attention(net: Net, config: HfConfig, decoding: Decoding, layer: int, x: ir.Value) -> ir.Value:
    """out_proj(attention(q, k, v)) [batch, sequence, hidden]; only the output has a bias."""
    heads, layout = config["num_heads"], layout_of(config)
    at = f"transformer.h.{layer}.attn.attention"
    parts = [Projection(f"{at}.{part}_proj", layout.picks(heads), bias=None) for part in "qkv"]
    window = config["window_size"] if config["attention_layers"][layer] == LOCAL else None
    shape = AttentionShape(heads, heads, layout, scale=1.0, window=window)
    attended = decoding.self_attention(layer, shape, net.side_by_side(x, parts))
    return net.linear(attended, f"{at}.out_proj", columns=layout.picks(heads))


def decode(net: Net, config: HfConfig, decoding: Decoding) -> ir.Value:
    """logits [batch, positions, vocabulary]."""
    op, epsilon = net.op, config["layer_norm_epsilon"]
    positions = op.Gather(net.tensor("transformer.wpe.weight"), decoding.positions)
    hidden_states = op.Add(net.embed(decoding.input_ids, WORDS), positions)
    for layer in range(config["num_layers"]):
        at = f"transformer.h.{layer}"
        normed = net.layer_norm(hidden_states, f"{at}.ln_1", epsilon)
        hidden_states = op.Add(hidden_states, attention(net, config, decoding, layer, normed))
        if layer == config["num_layers"] - 1:
            hidden_states = decoding.wanted(hidden_states)
        normed = net.layer_norm(hidden_states, f"{at}.ln_2", epsilon)
        expanded = net.linear(normed, f"{at}.mlp.c_fc", activation=config["activation_function"])
        hidden_states = op.Add(hidden_states, net.linear(expanded, f"{at}.mlp.c_proj"))
    last = net.layer_norm(hidden_states, "transformer.ln_f", epsilon)
    return net.linear(last, "lm_head", weight=tied(net, config, "lm_head.weight", WORDS), bias=None, vocabulary=True)


def cache(config: HfConfig) -> CacheLayout:
    """Every head has keys and values of its own."""
    return CacheLayout(layers=config["num_layers"], kv_heads=config["num_heads"], head_dim=layout_of(config).padded)


GPT_NEO = Generator(
    model_type="gpt_neo",
    prefix="transformer",
    decode=decode,
    cache=cache,
    max_tokens=lambda config: config["max_position_embeddings"],
    unused=("*.attention.bias", "*.attention.masked_bias", "lm_head.weight"),
)
