"""From an opened checkpoint that writes text to its graphs: the decoder's, and the encoder's where there is one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import onnx_ir as ir

from layers.compiler.architectures.architecture import EncoderInputs, Generator
from layers.compiler.architectures.device_decoding import open_decoding
from layers.compiler.checkpoint import Checkpoint
from layers.compiler.device_net import open_net
from layers.compiler.net import Net
from layers.compiler.plan import Plan
from layers.generation import CacheLayout

# Sequences of models whose positions have no end (T5's, ALiBi): what their makers trained on.
TRAINED_TOKENS = 512


@dataclass(frozen=True)
class GenerativeRecipe:
    """A checkpoint joined with its architecture and task; inputs and outputs are those of layers/generation.py."""

    checkpoint: Checkpoint
    architecture: Generator
    config: Mapping[str, Any]
    task: str

    @property
    def kind(self) -> Literal["decoder", "encoder-decoder"]:
        """What `generation.json` calls it."""
        return "decoder" if self.architecture.encode is None else "encoder-decoder"

    @property
    def cache(self) -> CacheLayout:
        """What one sequence keeps between steps."""
        return self.architecture.cache(self.config)

    @property
    def decoder_max_tokens(self) -> int:
        """The longest sequence of the decoder."""
        return self.architecture.max_tokens(self.config) or TRAINED_TOKENS

    @property
    def max_tokens(self) -> int | None:
        """The longest text the tokenizer may hand over, special tokens included; None where positions have no end."""
        if self.architecture.encode is None:
            return self.architecture.max_tokens(self.config)
        return self.architecture.source_max_tokens(self.config)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The decoder graph's inputs in order."""
        cache = self.cache
        parts = [("past_key_values", cache.layers), ("cross", cache.layers if cache.cross_heads else 0)]
        caches = [f"{name}.{i}.{part}" for name, count in parts for i in range(count) for part in ("key", "value")]
        mask = ("encoder_attention_mask",) if cache.cross_heads else ()
        return ("input_ids", "lengths", "total_length", "logit_positions", *caches, *mask)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The decoder graph's answer; the caches it writes are named by layers/generation.py."""
        return ("logits",)

    @property
    def labels(self) -> tuple[str, ...]:
        """None: it writes text."""
        return ()

    @property
    def problem_type(self) -> None:
        """None: it writes text."""
        return None

    @property
    def pooling(self) -> None:
        """None: it writes text."""
        return None

    @property
    def modules(self) -> None:
        """None: it is no sentence-transformers model."""
        return None

    def write(self, plan: Plan) -> tuple[ir.Model, Net]:
        """The decoder's graph. Raises CheckpointError when a tensor is missing."""
        net = open_net(self.checkpoint, plan)
        decoding = open_decoding(net, self.cache)
        logits = self.architecture.decode(net, self.config, decoding)
        return net.finish(decoding.outputs(logits)), net

    def write_encoder(self, plan: Plan) -> tuple[ir.Model, Net]:
        """The encoder's graph, which ends in the keys and values of the decoder's cross-attention."""
        assert self.architecture.encode is not None, "a decoder has no encoder"
        net = open_net(self.checkpoint, plan)
        shape = ["batch", "source"]
        inputs = EncoderInputs(net.input("input_ids", shape), net.input("attention_mask", shape), None)
        outputs = dict(self.architecture.encode(net, self.config, inputs))
        for value in outputs.values():
            value.shape = ir.Shape(["batch", self.cache.cross_heads, "source", self.cache.cross_head_dim])
            value.type = ir.TensorType(net.reals)
        return net.finish(outputs), net

    def graphs(self, plan: Plan) -> dict[str, tuple[ir.Model, Net]]:
        """Every graph of one plan by the first part of its file name.

        Raises CheckpointError when a tensor is missing or neither graph reads one.
        """
        graphs = {"model": self.write(plan)}
        if self.architecture.encode is not None:
            graphs["encoder"] = self.write_encoder(plan)
        self.checkpoint.account_for_every_tensor(self.architecture.unused)
        return graphs
