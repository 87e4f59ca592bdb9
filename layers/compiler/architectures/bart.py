"""BART (arxiv.org/abs/1910.13461) and the encoder-decoders that are configurations of it.

bart: norms after the blocks, learned positions. mbart: norms before them. marian: no norm of the embeddings, sines for
positions. pegasus: the same with norms before. m2m_100 (and NLLB): norms before, fairseq's sines.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from layers.compiler.architectures.architecture import EncoderInputs, Generator, HfConfig
from layers.compiler.architectures.bert import padding_mask
from layers.compiler.architectures.crossing import cross_outputs
from layers.compiler.architectures.decoding import AttentionShape, Decoding
from layers.compiler.architectures.heads import tied
from layers.compiler.architectures.seq2seq_positions import (
    FairseqPositions,
    LearnedPositions,
    Positions,
    SinusoidalPositions,
)
from layers.compiler.head_layout import HeadLayout
from layers.compiler.net import Net
from layers.compiler.stored import Projection
from layers.generation import CacheLayout

ENCODER, DECODER = "model.encoder", "model.decoder"
TABLES = ("model.shared.weight", f"{ENCODER}.embed_tokens.weight", f"{DECODER}.embed_tokens.weight")
# torch's default, which the code of every relative leaves alone.
EPSILON = 1e-5

Block = Callable[[ir.Value], ir.Value]


@dataclass(frozen=True)
class Traits:
    """Where a relative differs. `norms_before` goes with a norm at the end of each stack."""

    positions: Positions
    norms_before: bool
    embeddings_norm: bool


def table_of(net: Net, config: HfConfig, at: str) -> str:
    """The embeddings that a stack reads: shared ones, or its own (Marian with two vocabularies)."""
    shared = next((name for name in TABLES if name in net.checkpoint), TABLES[0])
    return tied(net, config, f"{at}.embed_tokens.weight", shared)


def embeddings(net: Net, config: HfConfig, traits: Traits, at: str, ids: ir.Value, positions: ir.Value) -> ir.Value:
    """norm(scale * words + positions) [batch, sequence, hidden]."""
    words = net.embed(ids, table_of(net, config, at))
    if config["scale_embedding"]:
        words = net.op.Mul(words, net.constant("embedding_scale", np.array(config["d_model"] ** 0.5, np.float32)))
    summed = net.op.Add(words, positions)
    return net.layer_norm(summed, f"{at}.layernorm_embedding", EPSILON) if traits.embeddings_norm else summed


def residual(net: Net, traits: Traits, norm: str, hidden_states: ir.Value, block: Block) -> ir.Value:
    """The block with its norm and residual, in the relative's order."""
    if traits.norms_before:
        return net.op.Add(hidden_states, block(net.layer_norm(hidden_states, norm, EPSILON)))
    return net.add_norm(block(hidden_states), hidden_states, norm, EPSILON)


def feed_forward(net: Net, config: HfConfig, traits: Traits, at: str, hidden_states: ir.Value) -> ir.Value:
    """fc2(activation(fc1(x))) with norm and residual."""

    def block(x: ir.Value) -> ir.Value:
        return net.linear(net.linear(x, f"{at}.fc1", activation=config["activation_function"]), f"{at}.fc2")

    return residual(net, traits, f"{at}.final_layer_norm", hidden_states, block)


def encode(net: Net, config: HfConfig, inputs: EncoderInputs, traits: Traits) -> Mapping[str, ir.Value]:
    """The keys and values of every decoder layer's cross-attention."""
    positions = traits.positions.source(net, config, ENCODER, inputs.input_ids)
    hidden_states = embeddings(net, config, traits, ENCODER, inputs.input_ids, positions)
    padding = padding_mask(net, inputs.attention_mask)
    for index in range(config["encoder_layers"]):
        at = f"{ENCODER}.layers.{index}"

        def attention(x: ir.Value, at: str = f"{at}.self_attn") -> ir.Value:
            query, key, value = net.projected(x, [Projection(f"{at}.{part}_proj") for part in "qkv"])
            heads = config["encoder_attention_heads"]
            attended = net.attention(query, key, value, heads=heads, key_padding_mask=padding)
            return net.linear(attended, f"{at}.out_proj")

        hidden_states = residual(net, traits, f"{at}.self_attn_layer_norm", hidden_states, attention)
        hidden_states = feed_forward(net, config, traits, at, hidden_states)
    if traits.norms_before:
        hidden_states = net.layer_norm(hidden_states, f"{ENCODER}.layer_norm", EPSILON)
    modules = [f"{DECODER}.layers.{index}.encoder_attn" for index in range(config["decoder_layers"])]
    projections = [tuple(net.linear(hidden_states, f"{at}.{part}_proj") for part in "kv") for at in modules]
    heads = config["decoder_attention_heads"]
    return cross_outputs(net, projections, heads, config["d_model"] // heads)


def layout_of(config: HfConfig) -> HeadLayout:
    """Of the decoder's own attention; cross-attention takes any size."""
    return HeadLayout(config["d_model"] // config["decoder_attention_heads"])


def decoder_layer(
    net: Net, config: HfConfig, decoding: Decoding, traits: Traits, index: int, hidden_states: ir.Value
) -> ir.Value:
    """Attention to what was written, to the source, then the feed-forward; the last layer keeps wanted positions."""
    at, layout, heads = f"{DECODER}.layers.{index}", layout_of(config), config["decoder_attention_heads"]
    scale = float(layout.size**-0.5)

    def own_attention(x: ir.Value) -> ir.Value:
        parts = [Projection(f"{at}.self_attn.{part}_proj", layout.picks(heads)) for part in "qkv"]
        shape = AttentionShape(heads, heads, layout, scale)
        attended = decoding.self_attention(index, shape, net.side_by_side(x, parts))
        return net.linear(attended, f"{at}.self_attn.out_proj", columns=layout.picks(heads))

    def cross_attention(x: ir.Value) -> ir.Value:
        query = net.linear(x, f"{at}.encoder_attn.q_proj")
        return net.linear(decoding.cross_attention(index, query, scale=scale), f"{at}.encoder_attn.out_proj")

    hidden_states = residual(net, traits, f"{at}.self_attn_layer_norm", hidden_states, own_attention)
    if index == config["decoder_layers"] - 1:
        hidden_states = decoding.wanted(hidden_states)
    hidden_states = residual(net, traits, f"{at}.encoder_attn_layer_norm", hidden_states, cross_attention)
    return feed_forward(net, config, traits, at, hidden_states)


def decode(net: Net, config: HfConfig, decoding: Decoding, traits: Traits) -> ir.Value:
    """logits [batch, positions, vocabulary]."""
    positions = traits.positions.target(net, config, DECODER, decoding)
    hidden_states = embeddings(net, config, traits, DECODER, decoding.input_ids, positions)
    for index in range(config["decoder_layers"]):
        hidden_states = decoder_layer(net, config, decoding, traits, index, hidden_states)
    if traits.norms_before:
        hidden_states = net.layer_norm(hidden_states, f"{DECODER}.layer_norm", EPSILON)
    weight = tied(net, config, "lm_head.weight", table_of(net, config, DECODER))
    return net.linear(hidden_states, "lm_head", weight=weight, bias=logits_bias(net), vocabulary=True)


def logits_bias(net: Net) -> str | None:
    """The buffer that most checkpoints carry and few have anything in."""
    name = "final_logits_bias"
    return name if name in net.checkpoint and net.checkpoint.read(name).any() else None


def cache(config: HfConfig) -> CacheLayout:
    """Cross keys and values keep their true size."""
    layout, heads = layout_of(config), config["decoder_attention_heads"]
    return CacheLayout(
        layers=config["decoder_layers"],
        kv_heads=heads,
        head_dim=layout.padded,
        cross_heads=heads,
        cross_head_dim=layout.size,
    )


def _relative(model_type: str, traits: Traits) -> Generator:
    return Generator(
        model_type=model_type,
        prefix="model",
        decode=lambda net, config, decoding: decode(net, config, decoding, traits),
        encode=lambda net, config, inputs: encode(net, config, inputs, traits),
        cache=cache,
        max_tokens=lambda config: config["max_position_embeddings"],
        source_max_tokens=lambda config: config["max_position_embeddings"],
        unused=("lm_head.weight", "model.shared.weight", f"{ENCODER}.version", f"{DECODER}.version"),
    )


BART_FAMILY = (
    _relative("bart", Traits(LearnedPositions(), norms_before=False, embeddings_norm=True)),
    _relative("mbart", Traits(LearnedPositions(), norms_before=True, embeddings_norm=True)),
    _relative("marian", Traits(SinusoidalPositions(), norms_before=False, embeddings_norm=False)),
    _relative("pegasus", Traits(SinusoidalPositions(), norms_before=True, embeddings_norm=False)),
    _relative("m2m_100", Traits(FairseqPositions(), norms_before=True, embeddings_norm=False)),
)
