"""What a recipe is: how a configuration is read, how the body is written, and which heads it can carry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import onnx_ir as ir

from layers.compiler.net import Net
from layers.errors import UnsupportedError

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
        for key, values in EXPECTED.items():
            if key in config and config[key] not in values:
                raise UnsupportedError(
                    f"{key}, for {name} ({self.model_type}): got {config[key]!r}, expected {values[0]!r}. "
                    f"Choose a checkpoint without it, or teach {self.encode.__module__} to write it."
                )
