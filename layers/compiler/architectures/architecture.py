"""What a recipe is: how a configuration is read, how the body is written, and which heads it can carry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import onnx_ir as ir

from layers.compiler.architectures.decoding import Decoding
from layers.compiler.net import Net
from layers.errors import UnsupportedError
from layers.generation import CacheLayout

HfConfig = Mapping[str, Any]

# Options of any configuration that would make another computation of it, with the values that leave it alone.
# transformers 5 itself no longer reads some of them (relative_key positions, pruned heads) and computes without.
EXPECTED: Mapping[str, tuple[Any, ...]] = {
    "is_decoder": (False,),
    "add_cross_attention": (False,),
    "is_encoder_decoder": (False,),
    "position_embedding_type": ("absolute",),
    "pruned_heads": (None, {}),
    "quantization_config": (None,),
}


# The same for models that write text; what is left out of these is what makes them decoders.
EXPECTED_OF_GENERATORS: Mapping[str, tuple[Any, ...]] = {
    "add_cross_attention": (False,),
    "pruned_heads": (None, {}),
    "quantization_config": (None,),
}


@dataclass(frozen=True)
class EncoderInputs:
    """Graph inputs, each int64 [batch, sequence]; `token_type_ids` only where the architecture reads them."""

    input_ids: ir.Value
    attention_mask: ir.Value
    token_type_ids: ir.Value | None


# (net, config, last_hidden_state [batch, sequence, hidden], attention_mask) -> named outputs
Head = Callable[[Net, HfConfig, ir.Value, ir.Value], Mapping[str, ir.Value]]


@dataclass(frozen=True)
class Architecture:
    """One model_type. A relative of a known structure is another instance of this, not another code path.

    `config` is transformers' configuration with its defaults filled in. `max_tokens` counts special tokens.
    `unused` are patterns (fnmatch) of tensors that a checkpoint may hold and the graph does not need.
    """

    model_type: str
    prefix: str
    encode: Callable[[Net, HfConfig, EncoderInputs], ir.Value]
    heads: Mapping[str, Head]
    max_tokens: Callable[[HfConfig], int]
    reads_token_types: Callable[[HfConfig], bool]
    unused: tuple[str, ...]

    def check(self, config: HfConfig, name: str) -> None:
        """Raise UnsupportedError for the first option of checkpoint `name` that the recipe would compute wrongly."""
        _check(EXPECTED, config, f"{name} ({self.model_type})", self.encode.__module__)


@dataclass(frozen=True)
class Generator:
    """One model_type that writes text: a decoder, or an encoder and a decoder where `encode` is given.

    `decode` gives logits [batch, positions, vocabulary]. `encode` gives `cross.{i}.key` and `cross.{i}.value`
    [batch, heads, source, head_dim] for every decoder layer. `max_tokens` is the longest sequence of the decoder,
    `source_max_tokens` of the encoder; None where positions have no end. `expected` are options of the configuration,
    as in EXPECTED, with the values that `decode` writes.
    """

    model_type: str
    prefix: str
    decode: Callable[[Net, HfConfig, Decoding], ir.Value]
    cache: Callable[[HfConfig], CacheLayout]
    max_tokens: Callable[[HfConfig], int | None]
    unused: tuple[str, ...]
    encode: Callable[[Net, HfConfig, EncoderInputs], Mapping[str, ir.Value]] | None = None
    source_max_tokens: Callable[[HfConfig], int | None] = lambda _config: None
    expected: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    @property
    def heads(self) -> tuple[str, ...]:
        """The one head there is."""
        return ("causal-lm",) if self.encode is None else ("seq2seq",)

    def check(self, config: HfConfig, name: str) -> None:
        """As Architecture.check."""
        _check(
            {**EXPECTED_OF_GENERATORS, **self.expected}, config, f"{name} ({self.model_type})", self.decode.__module__
        )


def _check(expected: Mapping[str, tuple[Any, ...]], config: HfConfig, title: str, module: str) -> None:
    for key, values in expected.items():
        if key in config and config[key] not in values:
            raise UnsupportedError(
                f"{key}, for {title}: got {config[key]!r}, expected {values[0]!r}. "
                f"Choose a checkpoint without it, or teach {module} to write it."
            )
