"""What a recipe is: how a configuration is read, how the body is written, and which heads it can carry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import onnx_ir as ir

from layers.compiler.net import Net

HfConfig = Mapping[str, Any]


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
