"""What every decoder graph has: the inputs of layers/generation.py, caches written in place, logits where wanted.

Attention is GroupQueryAttention over the whole cache buffer: it appends the new keys and values, is causal, and takes
rows of any length, right-padded, when nothing is in the cache. It turns queries and keys by rotary tables itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from layers.compiler.head_layout import HeadLayout
from layers.compiler.net import Net
from layers.compiler.plan import MASKED
from layers.generation import LOGIT_POSITIONS, CacheLayout


@dataclass(frozen=True)
class AttentionShape:
    """What one layer's attention is besides its weights.

    `scale` multiplies the scores. `window` is how many positions a query sees, its own included. `rotary` is the
    tables of cosines and sines [positions, layout.half]. `bias` [batch or 1, heads, sequence, total_length] is added
    to the scores. `softcap` bounds them by softcap * tanh(scores / softcap).
    """

    heads: int
    kv_heads: int
    layout: HeadLayout
    scale: float
    rotary: tuple[ir.Value, ir.Value] | None = None
    window: int | None = None
    bias: ir.Value | None = None
    softcap: float | None = None


class Decoding:
    """The inputs of a decoder graph and the caches of its layers; one per graph."""

    wanted_input = LOGIT_POSITIONS

    def __init__(self, net: Net, cache: CacheLayout) -> None:
        self.net = net
        self.cache = cache
        self.input_ids = net.input("input_ids")
        self._lengths = net.input("lengths", ["batch"], ir.DataType.INT32)
        self._total_length = net.input("total_length", [], ir.DataType.INT32)
        self._logit_positions = net.input(self.wanted_input, ["batch", "positions"])
        self._presents: dict[str, ir.Value] = {}
        own: list[str | int] = ["batch", cache.kv_heads, "capacity", cache.head_dim]
        self._pasts = _key_value_inputs(net, "past_key_values", cache.layers, own)
        if cache.cross_heads:
            cross: list[str | int] = ["batch", cache.cross_heads, "source", cache.cross_head_dim]
            self._cross = _key_value_inputs(net, "cross", cache.layers, cross)
            self._source_mask = net.input("encoder_attention_mask", ["batch", "source"], ir.DataType.INT32)

    @property
    def positions(self) -> ir.Value:
        """The place of every new token in its text [batch, sequence]; a batch of prompts starts at 0."""
        return self._once("positions", self._place_tokens)

    @property
    def key_positions(self) -> ir.Value:
        """0, 1, 2 ... [total_length], the places of the keys."""
        total = self._once("total", lambda: self.net.op.Cast(self._total_length, to=ir.DataType.INT64))
        return self._once("keys", lambda: self.net.op.Range(self._integer(0), total, self._integer(1)))

    def self_attention(
        self,
        layer: int,
        shape: AttentionShape,
        query: ir.Value,
        key: ir.Value | None = None,
        value: ir.Value | None = None,
    ) -> ir.Value:
        """Causal attention over the layer's cache and the new tokens: [batch, sequence, heads * head_dim].

        `query` is [batch, sequence, heads * head_dim], `key` and `value` [batch, sequence, kv_heads * head_dim];
        without them `query` holds all three side by side.
        """
        assert shape.layout.padded == self.cache.head_dim, "the cache was laid out for another head size"
        options: dict[str, Any] = {"num_heads": shape.heads, "kv_num_heads": shape.kv_heads, "scale": shape.scale}
        if shape.rotary:
            options["do_rotary"] = 1
        if shape.window is not None:
            options["local_window_size"] = shape.window
        if shape.softcap is not None:
            options["softcap"] = shape.softcap
        names = [f"present.{layer}.{part}" for part in ("key", "value")]
        last = self._once("last_keys", lambda: self.net.op.Sub(self._lengths, self._integer(1, np.int32)))
        outputs: Any = self.net.ms.GroupQueryAttention(
            query,
            key,
            value,
            *self._pasts[layer],
            last,
            self._total_length,
            *(shape.rotary or (None, None)),
            None,
            shape.bias,
            **options,
            _outputs=[f"attended.{layer}", *names],
        )
        attended, *presents = outputs
        for name, present in zip(names, presents, strict=True):
            present.shape = ir.Shape(["batch", self.cache.kv_heads, "capacity", self.cache.head_dim])
            present.type = ir.TensorType(self.net.reals)
            self._presents[name] = present
        result: ir.Value = attended
        return result

    def cross_attention(self, layer: int, query: ir.Value, *, scale: float) -> ir.Value:
        """Attention of the new tokens over the source: [batch, sequence, cross_heads * cross_head_dim]."""
        key, value = self._cross[layer]
        return self.net.ms.MultiHeadAttention(
            query,
            key,
            value,
            None,
            self._source_mask,
            num_heads=self.cache.cross_heads,
            scale=scale,
            mask_filter_value=MASKED,
        )

    def wanted(self, hidden_states: ir.Value) -> ir.Value:
        """Hidden states at `logit_positions` [batch, positions, hidden]: the vocabulary's product reads no others."""
        return self.net.op.GatherND(hidden_states, self.net.op.Unsqueeze(self._logit_positions, [-1]), batch_dims=1)

    def outputs(self, logits: ir.Value) -> dict[str, ir.Value]:
        """The graph's outputs by name."""
        logits.shape = ir.Shape(["batch", "positions", "vocabulary"])
        logits.type = ir.TensorType(ir.DataType.FLOAT)
        return {"logits": logits, **self._presents}

    def _place_tokens(self) -> ir.Value:
        op = self.net.op
        new = op.Shape(self.input_ids, start=1, end=2)
        # Where a prompt is shorter than its batch, lengths - new is negative and nothing is in the cache.
        past = op.Max(op.Sub(op.Cast(self._lengths, to=ir.DataType.INT64), new), self._integer(0))
        return op.Add(op.Unsqueeze(past, [1]), op.Range(self._integer(0), op.Squeeze(new), self._integer(1)))

    def _integer(self, value: int, dtype: type[np.integer[Any]] = np.int64) -> ir.Value:
        return self.net.constant(f"{dtype.__name__}.{value}", np.array(value, dtype))

    def _once(self, name: str, make: Any) -> ir.Value:
        key = ("decoding", name)
        if key not in self.net.shared:
            self.net.shared[key] = make()
        return self.net.shared[key]


def _key_value_inputs(net: Net, name: str, layers: int, shape: Sequence[str | int]) -> list[tuple[ir.Value, ir.Value]]:
    return [
        (
            net.input(f"{name}.{layer}.key", shape, net.reals),
            net.input(f"{name}.{layer}.value", shape, net.reals),
        )
        for layer in range(layers)
    ]
