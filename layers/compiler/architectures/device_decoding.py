"""Decoder graphs for a graphics card, whose runs are recorded once for each shape and then replayed.

What a run computes from shapes on the processor would be frozen in the recording, so places of tokens come from the
caller, in one transfer with the tokens themselves.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from layers.compiler.architectures.decoding import AttentionShape, Decoding
from layers.compiler.device_net import DeviceNet
from layers.compiler.net import Net
from layers.generation import BEST, BEST_SCORE, EXACT_PROMPTS, LOGIT_ROWS, POSITION_IDS, CacheLayout


class DeviceDecoding(Decoding):
    """As Decoding, with the inputs and outputs of a card's graphs (layers/generation.py)."""

    wanted_input = LOGIT_ROWS

    @property
    def key_positions(self) -> ir.Value:
        """As Decoding.key_positions. Range reads its limits on the processor, where total_length is."""
        op, zero, one = self.net.op, self._integer(0, np.int32), self._integer(1, np.int32)
        return self._once("keys", lambda: op.Cast(op.Range(zero, self._total_length, one), to=ir.DataType.INT64))

    def wanted(self, hidden_states: ir.Value) -> ir.Value:
        """As Decoding.wanted; rows are counted over the whole batch: GatherND would copy shapes in every run."""
        return self.net.op.Gather(self.net.op.Flatten(hidden_states, axis=2), self._logit_positions)

    def outputs(self, logits: ir.Value) -> dict[str, ir.Value]:
        """As Decoding.outputs, and the likeliest token with its logit: a greedy step copies no row of logits."""
        op, last = self.net.op, {"axis": -1, "keepdims": 0}
        with self.net.single(logits) as exact:
            best = op.ArgMax(exact, **last)
            picked = op.GatherElements(exact, op.Unsqueeze(best, [-1]), axis=-1)
            score = op.Squeeze(picked, [-1])
        for value, dtype in ((best, ir.DataType.INT64), (score, ir.DataType.FLOAT)):
            value.shape, value.type = ir.Shape(["batch", "positions"]), ir.TensorType(dtype)
        return {**super().outputs(exact), BEST: best, BEST_SCORE: score}

    def self_attention(
        self,
        layer: int,
        shape: AttentionShape,
        query: ir.Value,
        key: ir.Value | None = None,
        value: ir.Value | None = None,
    ) -> ir.Value:
        """As Decoding.self_attention. With a bias the card aligns a prompt by its end, padding included."""
        if shape.bias is not None:
            self.net.facts[EXACT_PROMPTS] = "yes"
        return super().self_attention(layer, shape, query, key, value)

    def _place_tokens(self) -> ir.Value:
        return self.net.input(POSITION_IDS)


def open_decoding(net: Net, cache: CacheLayout) -> Decoding:
    """The inputs of a decoder graph, for the processor or the card that `net` is written for."""
    return DeviceDecoding(net, cache) if isinstance(net, DeviceNet) else Decoding(net, cache)
