"""Llama (arxiv.org/abs/2302.13971) and the decoders that are configurations of it: pre-norm with RMS norms, rotary
positions, a gated feed-forward, and fewer heads for keys and values than for queries.

mistral: a window in every layer. qwen2: biases before attention, windows in some layers. qwen3: norms of each head's
query and key. gemma: norms that count from 1, embeddings scaled. gemma2: norms after each block too, soft caps.
phi3: fused projections, part of a head rotated. smollm3: layers without positions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from layers.compiler.architectures.architecture import Generator, HfConfig
from layers.compiler.architectures.decoding import AttentionShape, Decoding
from layers.compiler.architectures.heads import tied
from layers.compiler.architectures.rotary import rotary_tables
from layers.compiler.head_layout import HeadLayout
from layers.compiler.net import Net
from layers.compiler.stored import Projection
from layers.errors import UnsupportedError
from layers.generation import CacheLayout

WORDS = "model.embed_tokens.weight"
SLIDING = "sliding_attention"


def _never(_config: HfConfig) -> bool:
    return False


def _as_attention_bias(config: HfConfig) -> bool:
    return bool(config["attention_bias"])


def _no_window(_config: HfConfig, _layer: int) -> int | None:
    return None


def _window_everywhere(config: HfConfig, _layer: int) -> int | None:
    window: int | None = config["sliding_window"]
    return window


def _window_by_layer_type(config: HfConfig, layer: int) -> int | None:
    return _window_everywhere(config, layer) if config["layer_types"][layer] == SLIDING else None


@dataclass(frozen=True)
class Traits:
    """Where a relative differs from Llama. Predicates read the configuration, some for one layer of it.

    `sandwiched`: a norm after attention and after the feed-forward too. `fused`: qkv_proj and gate_up_proj in one.
    `partial`: rope_parameters may leave part of a head unturned.
    """

    input_bias: Callable[[HfConfig], bool] = _as_attention_bias
    output_bias: Callable[[HfConfig], bool] = _as_attention_bias
    mlp_bias: Callable[[HfConfig], bool] = _never
    window: Callable[[HfConfig, int], int | None] = _no_window
    rotates: Callable[[HfConfig, int], bool] = lambda _config, _layer: True
    head_norms: bool = False
    norms_from_one: bool = False
    sandwiched: bool = False
    scaled_embeddings: bool = False
    fused: bool = False
    partial: bool = False


def head_size(config: HfConfig) -> int:
    """Given, or the hidden size shared out."""
    return int(config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"])


def layout_of(config: HfConfig) -> HeadLayout:
    """The same for every layer, those without positions included: their caches have one shape."""
    size = head_size(config)
    return HeadLayout(size, int(size * config["rope_parameters"].get("partial_rotary_factor", 1.0)))


class Llama:
    """The writer of one graph: a configuration and its traits, with the tables its layers share."""

    def __init__(self, net: Net, config: HfConfig, decoding: Decoding, traits: Traits) -> None:
        self.net = net
        self.config = config
        self.decoding = decoding
        self.traits = traits
        self.layout = layout_of(config)
        rope = config["rope_parameters"]
        if not traits.partial and self.layout.rotary != self.layout.size:
            raise UnsupportedError(
                f"partial_rotary_factor, for {net.checkpoint.title}: got {rope['partial_rotary_factor']}, expected 1. "
                "transformers cannot run this checkpoint either."
            )
        self.tables = rotary_tables(net, rope, self.layout, config["max_position_embeddings"])

    def logits(self) -> ir.Value:
        """[batch, positions, vocabulary]."""
        net, op, config = self.net, self.net.op, self.config
        hidden_states = net.embed(self.decoding.input_ids, WORDS)
        if self.traits.scaled_embeddings:
            scale = np.array(config["hidden_size"] ** 0.5, np.float32)
            hidden_states = op.Mul(hidden_states, net.constant("embedding_scale", scale))
        for layer in range(config["num_hidden_layers"]):
            at = f"model.layers.{layer}"
            hidden_states = op.Add(hidden_states, self.attention(layer, f"{at}.self_attn", hidden_states))
            if layer == config["num_hidden_layers"] - 1:
                hidden_states = self.decoding.wanted(hidden_states)
            hidden_states = op.Add(hidden_states, self.feed_forward(at, hidden_states))
        last = self.norm(hidden_states, "model.norm")
        weight = tied(net, config, "lm_head.weight", WORDS)
        return self.capped(net.linear(last, "lm_head", weight=weight, bias=None, vocabulary=True))

    def attention(self, layer: int, at: str, hidden_states: ir.Value) -> ir.Value:
        """What a layer's attention adds to the hidden states."""
        net, config, layout = self.net, self.config, self.layout
        heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
        normed = self.norm(hidden_states, f"model.layers.{layer}.input_layernorm")
        starts = (0, heads * layout.size, (heads + kv_heads) * layout.size)
        bias = "" if self.traits.input_bias(config) else None
        parts = [
            Projection(f"{at}.qkv_proj", layout.picks(count, start=start), bias)
            if self.traits.fused
            else Projection(f"{at}.{part}_proj", layout.picks(count), bias)
            for part, count, start in zip("qkv", (heads, kv_heads, kv_heads), starts, strict=True)
        ]
        projected = [net.side_by_side(normed, parts)]
        if self.traits.head_norms:
            projected = self.apart(projected[0], at, heads, kv_heads)
        shape = AttentionShape(
            heads,
            kv_heads,
            layout,
            scale=float(config.get("query_pre_attn_scalar", layout.size) ** -0.5),
            rotary=self.tables if self.traits.rotates(config, layer) else None,
            window=self.traits.window(config, layer),
            softcap=config.get("attn_logit_softcapping"),
        )
        attended = self.decoding.self_attention(layer, shape, *projected)
        bias = "" if self.traits.output_bias(config) else None
        attended = net.linear(attended, f"{at}.o_proj", columns=layout.picks(heads), bias=bias)
        after = f"model.layers.{layer}.post_attention_layernorm"
        return self.norm(attended, after) if self.traits.sandwiched else attended

    def feed_forward(self, at: str, hidden_states: ir.Value) -> ir.Value:
        """down(activation(gate(x)) * up(x)), with the norms around it."""
        net, config, size = self.net, self.config, self.config["intermediate_size"]
        before = "pre_feedforward_layernorm" if self.traits.sandwiched else "post_attention_layernorm"
        normed = self.norm(hidden_states, f"{at}.{before}")
        bias = "" if self.traits.mlp_bias(config) else None
        activation = config.get("hidden_activation") or config["hidden_act"]
        if self.traits.fused:
            gate = net.linear(normed, f"{at}.mlp.gate_up_proj", rows=(0, size), bias=bias, activation=activation)
            up = net.linear(normed, f"{at}.mlp.gate_up_proj", rows=(size, 2 * size), bias=bias)
        else:
            gate = net.linear(normed, f"{at}.mlp.gate_proj", bias=bias, activation=activation)
            up = net.linear(normed, f"{at}.mlp.up_proj", bias=bias)
        down = net.linear(net.op.Mul(gate, up), f"{at}.mlp.down_proj", bias=bias)
        return self.norm(down, f"{at}.post_feedforward_layernorm") if self.traits.sandwiched else down

    def norm(self, x: ir.Value, module: str) -> ir.Value:
        """RMS norm over the hidden size."""
        return self.net.rms_norm(x, module, self.config["rms_norm_eps"], plus_one=self.traits.norms_from_one)

    def apart(self, projected: ir.Value, at: str, heads: int, kv_heads: int) -> list[ir.Value]:
        """Queries, keys and values, the first two with the norm of each head."""
        net, width = self.net, self.layout.padded
        sizes = net.constant("qkv.sizes", np.array([heads, kv_heads, kv_heads], np.int64) * width)
        parts: Any = net.op.Split(projected, sizes, axis=-1, _outputs=[f"{at}.{part}" for part in "qkv"])
        query, key, value = parts
        return [self.head_norm(query, f"{at}.q_norm", heads), self.head_norm(key, f"{at}.k_norm", kv_heads), value]

    def head_norm(self, x: ir.Value, module: str, heads: int) -> ir.Value:
        """RMS norm of each head of x [batch, sequence, heads * padded].

        The mean runs over the padded width: weights and epsilon make up for the zeros.
        """
        net, layout, name = self.net, self.layout, f"{module}.weight"
        share = layout.size / layout.padded
        net.checkpoint.used.add(name)
        weight = net.lazy(
            f"{name}.padded",
            ir.DataType.FLOAT,
            (layout.padded,),
            lambda: layout.pad(net.checkpoint.read(name)) * np.float32(share**0.5),
        )
        apart = net.op.Reshape(x, [0, 0, heads, layout.padded])
        normed = net.op.RMSNormalization(apart, weight, axis=-1, epsilon=self.config["rms_norm_eps"] * share)
        return net.op.Reshape(normed, [0, 0, heads * layout.padded])

    def capped(self, logits: ir.Value) -> ir.Value:
        """cap * tanh(logits / cap), where the configuration has a cap."""
        cap = self.config.get("final_logit_softcapping")
        if cap is None:
            return logits
        op, limit = self.net.op, self.net.constant("logit_cap", np.array(cap, np.float32))
        return op.Mul(op.Tanh(op.Div(logits, limit)), limit)


def cache(config: HfConfig) -> CacheLayout:
    """One buffer for each head of keys and values."""
    return CacheLayout(
        layers=config["num_hidden_layers"],
        kv_heads=config["num_key_value_heads"],
        head_dim=layout_of(config).padded,
    )


def _relative(model_type: str, traits: Traits) -> Generator:
    return Generator(
        model_type=model_type,
        prefix="model",
        decode=lambda net, config, decoding: Llama(net, config, decoding, traits).logits(),
        cache=cache,
        max_tokens=lambda config: config["max_position_embeddings"],
        unused=("*.rotary_emb.inv_freq", "lm_head.weight"),
        expected={"use_bidirectional_attention": (None, False)},
    )


LLAMA_FAMILY = (
    _relative("llama", Traits(mlp_bias=lambda config: bool(config["mlp_bias"]))),
    _relative("mistral", Traits(input_bias=_never, output_bias=_never, window=_window_everywhere)),
    _relative("qwen2", Traits(input_bias=lambda _config: True, output_bias=_never, window=_window_by_layer_type)),
    _relative("qwen3", Traits(window=_window_by_layer_type, head_norms=True)),
    _relative("gemma", Traits(norms_from_one=True, scaled_embeddings=True)),
    _relative(
        "gemma2",
        Traits(window=_window_by_layer_type, norms_from_one=True, scaled_embeddings=True, sandwiched=True),
    ),
    _relative(
        "phi3", Traits(input_bias=_never, output_bias=_never, window=_window_everywhere, fused=True, partial=True)
    ),
    _relative(
        "smollm3",
        Traits(
            mlp_bias=lambda config: bool(config["mlp_bias"]),
            window=_window_by_layer_type,
            rotates=lambda config, layer: bool(config["no_rope_layers"][layer]),
        ),
    ),
)
