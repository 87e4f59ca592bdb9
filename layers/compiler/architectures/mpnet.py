"""MPNet (arxiv.org/abs/2004.09297): BERT's layer with fairseq positions and one relative bias for all layers.

The bias depends on distance alone, so it is a table by distance made at build time and laid out once per call.
"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from layers.compiler.architectures import heads, relative
from layers.compiler.architectures.architecture import Architecture, EncoderInputs, HfConfig
from layers.compiler.architectures.bert import (
    LayerNames,
    LayerShape,
    encoder_layer,
    padded_positions,
    padding_mask,
)
from layers.compiler.net import Net
from layers.errors import CheckpointError

# transformers writes these into the code: the configuration's pad_token_id and relative_attention_num_buckets
# change neither positions nor buckets.
PAD = 1
BUCKETS = 32
MAX_DISTANCE = 128
NAMES = LayerNames(
    query="attention.attn.q",
    key="attention.attn.k",
    value="attention.attn.v",
    attention_output="attention.attn.o",
    attention_norm="attention.LayerNorm",
)
TABLE = "mpnet.encoder.relative_attention_bias.weight"


def buckets(distances: NDArray[np.int64]) -> NDArray[np.int64]:
    """T5's bucket (arxiv.org/abs/1910.10683) of each key - query; in float32, whose rounding decides at 64."""
    half = BUCKETS // 2
    exact = half // 2
    away = np.abs(distances)
    with np.errstate(divide="ignore"):
        steps = np.log(away.astype(np.float32) / np.float32(exact)) / np.float32(math.log(MAX_DISTANCE / exact))
        far = exact + (np.maximum(steps, 0) * np.float32(half - exact)).astype(np.int64)
    return np.where(distances > 0, half, 0) + np.where(away < exact, away, np.minimum(far, half - 1))


def position_bias(net: Net, config: HfConfig, input_ids: ir.Value) -> ir.Value:
    """[1, heads, sequence, sequence], the same in every layer."""
    longest = max_tokens(config)
    entries, count = net.checkpoint.shape(TABLE)
    if entries < BUCKETS:
        raise CheckpointError(
            f"{TABLE}, for {net.checkpoint.title}: got {entries} rows, expected {BUCKETS}. "
            "transformers cannot run this checkpoint either."
        )
    net.checkpoint.used.add(TABLE)

    def by_distance() -> NDArray[np.float32]:
        rows = net.checkpoint.read(TABLE)[buckets(relative.distances(longest))]
        return np.ascontiguousarray(rows.T[None, :, None], np.float32)

    table = net.lazy(f"{TABLE}.by_distance", ir.DataType.FLOAT, (1, count, 1, 2 * longest), by_distance)
    return relative.bias(net, table, net.op.Shape(input_ids, start=1, end=2), longest)


def encode(net: Net, config: HfConfig, inputs: EncoderInputs) -> ir.Value:
    """last_hidden_state [batch, sequence, hidden]."""
    at, epsilon = "mpnet.embeddings", config["layer_norm_eps"]
    words = net.embed(inputs.input_ids, f"{at}.word_embeddings.weight")
    positions = padded_positions(net, inputs.input_ids, f"{at}.position_embeddings.weight", PAD)
    hidden_states = net.layer_norm(net.op.Add(words, positions), f"{at}.LayerNorm", epsilon)
    shape = LayerShape(config["num_attention_heads"], config["hidden_act"], epsilon, NAMES)
    padding = padding_mask(net, inputs.attention_mask)
    bias = position_bias(net, config, inputs.input_ids)
    for index in range(config["num_hidden_layers"]):
        at = f"mpnet.encoder.layer.{index}"
        hidden_states = encoder_layer(net, shape, at, hidden_states, padding, lambda _query, _key: bias)
    return hidden_states


def max_tokens(config: HfConfig) -> int:
    """Positions count from PAD + 1, so that many rows of the table are never read."""
    return int(config["max_position_embeddings"]) - PAD - 1


MPNET = Architecture(
    model_type="mpnet",
    prefix="mpnet",
    encode=encode,
    heads={
        "sequence-classification": heads.first_token_classifier("classifier.dense", "tanh", "classifier.out_proj"),
        "token-classification": heads.token_classifier(),
        "question-answering": heads.span(),
        "masked-lm": heads.masked_lm(
            "lm_head.dense",
            "gelu",
            "lm_head.layer_norm",
            "config.layer_norm_eps",
            words="mpnet.embeddings.word_embeddings.weight",
            decoder="lm_head.decoder",
            bias="lm_head.bias",
        ),
        "encoder": heads.last_hidden_state,
    },
    max_tokens=max_tokens,
    reads_token_types=lambda _config: False,
    unused=("*.position_ids", "mpnet.pooler.*", "lm_head.*", "classifier.*", "qa_outputs.*"),
)
