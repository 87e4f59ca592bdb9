"""DeBERTa v2 and v3 (arxiv.org/abs/2006.03654, arxiv.org/abs/2111.09543): BERT's layer with disentangled attention.

Each layer adds two terms to its scores: the query against the projected embedding of the distance (c2p) and the key
against it (p2c). Those projections read weights only, so they are made at build time with the scale folded in, and a
call multiplies with the 2n rows its n tokens can be apart, not with the whole table of distances.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from layers.compiler.architectures import heads, relative
from layers.compiler.architectures.architecture import Architecture, EncoderInputs, Head, HfConfig
from layers.compiler.architectures.bert import (
    LayerNames,
    LayerShape,
    ScoreBias,
    counted_positions,
    encoder_layer,
    padding_mask,
    token_types,
)
from layers.compiler.net import Net

Floats = NDArray[np.float32]

NAMES = LayerNames(query="attention.self.query_proj", key="attention.self.key_proj", value="attention.self.value_proj")
RELATIVE = "deberta.encoder.rel_embeddings.weight"
RELATIVE_NORM = "deberta.encoder.LayerNorm"


@dataclass(frozen=True)
class Disentangled:
    """The options of disentangled attention, with transformers' defaults for the keys a configuration leaves out."""

    terms: tuple[str, ...]
    relative: bool
    shared_projections: bool
    buckets: int
    span: int
    furthest: int
    norm: bool

    @classmethod
    def from_config(cls, config: HfConfig) -> Disentangled:
        """Read `config`; `terms` are counted into the scale even where relative attention is off."""
        furthest = config.get("max_relative_positions", -1)
        furthest = furthest if furthest >= 1 else config["max_position_embeddings"]
        buckets = config.get("position_buckets", -1)
        return cls(
            terms=tuple(term for term in ("c2p", "p2c") if term in (config["pos_att_type"] or ())),
            relative=config.get("relative_attention", False),
            shared_projections=config.get("share_att_key", False),
            buckets=buckets,
            span=buckets if buckets > 0 else furthest,
            furthest=furthest,
            norm="layer_norm" in [part.strip() for part in config.get("norm_rel_ebd", "none").lower().split("|")],
        )

    def rows(self, away: NDArray[np.int64]) -> NDArray[np.int64]:
        """The row of the table for each query - key."""
        buckets = log_buckets(away, self.buckets, self.furthest) if self.buckets > 0 else away
        return np.clip(buckets + self.span, 0, 2 * self.span - 1)


def log_buckets(distances: NDArray[np.int64], buckets: int, furthest: int) -> NDArray[np.int64]:
    """transformers' make_log_bucket_position, in its float32: exact up to half the buckets, then logarithmic."""
    middle = buckets // 2
    away = np.where(np.abs(distances) < middle, middle - 1, np.abs(distances))
    ratio = np.log((away / middle).astype(np.float32)) / np.log(np.float32((furthest - 1) / middle))
    steps = np.ceil(ratio * np.float32(middle - 1)) + middle
    return np.where(away <= middle, distances, steps * np.sign(distances)).astype(np.int64)


@dataclass(frozen=True)
class Distances:
    """What the layers share: rows of the table for a text's 2n distances, and n itself [1].

    Columns run by other - own position: a query's others are keys, a key's others are queries, so signs differ.
    """

    from_query: ir.Value
    from_key: ir.Value
    length: ir.Value


def distances_of(net: Net, options: Disentangled, config: HfConfig, input_ids: ir.Value) -> Distances:
    """Laid out once per call."""
    length = net.op.Shape(input_ids, start=1, end=2)
    longest = config["max_position_embeddings"]
    others = relative.distances(longest)
    from_query, from_key = (
        relative.columns(net, net.constant(f"rel_embeddings.{name}", options.rows(away)), length, longest, 0)
        for name, away in (("from_query", -others), ("from_key", others))
    )
    return Distances(from_query, from_key, length)


def projected_distances(
    net: Net, config: HfConfig, options: Disentangled, module: str, count: int, scale: float
) -> ir.Value:
    """`scale * module(rel_embeddings)` by head: an initializer [heads, 2 * span, head_size]."""
    size = net.checkpoint.shape(f"{module}.weight")[0] // count
    norm = (f"{RELATIVE_NORM}.weight", f"{RELATIVE_NORM}.bias") if options.norm else ()
    net.checkpoint.used.update((RELATIVE, f"{module}.weight", f"{module}.bias", *norm))

    def read() -> Floats:
        table = net.checkpoint.read(RELATIVE)[: 2 * options.span]
        if options.norm:
            weight, bias = (net.checkpoint.read(name) for name in norm)
            centred = table - table.mean(axis=1, keepdims=True)
            deviation = np.sqrt(np.square(centred).mean(axis=1, keepdims=True) + config["layer_norm_eps"])
            table = centred / deviation * weight + bias
        projected = table @ net.checkpoint.read(f"{module}.weight").T + net.checkpoint.read(f"{module}.bias")
        by_head = projected.reshape(len(table), count, size).transpose(1, 0, 2)
        return np.ascontiguousarray(by_head * scale, np.float32)

    return net.lazy(f"{module}.rel_embeddings", ir.DataType.FLOAT, (count, 2 * options.span, size), read)


def disentangled_bias(
    net: Net, config: HfConfig, options: Disentangled, at: str, distances: Distances, scale: float
) -> ScoreBias:
    """c2p + p2c of the layer's attention module `at`: [batch, heads, n, n]."""
    count = config["num_attention_heads"]

    def term(states: ir.Value, rows: ir.Value, module: str) -> ir.Value:
        """states [batch, n, hidden] against every distance, then laid out by pairs [batch, heads, n, n]."""
        size = net.checkpoint.shape(f"{module}.weight")[0] // count
        split = net.op.Transpose(net.op.Reshape(states, [0, 0, count, size]), perm=[0, 2, 1, 3])
        table = projected_distances(net, config, options, module, count, scale)
        scores = net.ms.FusedMatMul(split, net.op.Gather(table, rows, axis=1), transB=1)
        return relative.pairs(net, scores, distances.length)

    def bias(query: ir.Value, key: ir.Value) -> ir.Value:
        shared = options.shared_projections
        terms = []
        if "c2p" in options.terms:
            terms.append(term(query, distances.from_query, f"{at}.{'key_proj' if shared else 'pos_key_proj'}"))
        if "p2c" in options.terms:
            by_key = term(key, distances.from_key, f"{at}.{'query_proj' if shared else 'pos_query_proj'}")
            terms.append(net.op.Transpose(by_key, perm=[0, 1, 3, 2]))
        return net.op.Add(*terms) if len(terms) == 2 else terms[0]

    return bias


def embeddings(net: Net, config: HfConfig, inputs: EncoderInputs) -> ir.Value:
    """norm(project(words + positions + token types)) [batch, sequence, hidden]; all but words are optional."""
    op, at = net.op, "deberta.embeddings"
    hidden_states = net.embed(inputs.input_ids, f"{at}.word_embeddings.weight")
    if config["position_biased_input"]:
        table = f"{at}.position_embeddings.weight"
        hidden_states = op.Add(hidden_states, counted_positions(net, inputs.input_ids, table))
    if config["type_vocab_size"] > 0:
        hidden_states = op.Add(hidden_states, token_types(net, inputs, f"{at}.token_type_embeddings.weight"))
    if config.get("embedding_size", config["hidden_size"]) != config["hidden_size"]:
        hidden_states = net.linear(hidden_states, f"{at}.embed_proj", bias=None)
    return net.layer_norm(hidden_states, f"{at}.LayerNorm", config["layer_norm_eps"])


def convolution(net: Net, config: HfConfig, inputs: EncoderInputs, embedded: ir.Value, first: ir.Value) -> ir.Value:
    """v2-xlarge's convolution over the embeddings, added to the first layer's output and normalized."""
    op, at = net.op, "deberta.encoder.conv"
    kernel, groups = config["conv_kernel_size"], config.get("conv_groups", 1)
    # Only here does a padded position reach a real one, so only here is it cleared.
    mask = op.Unsqueeze(op.Cast(inputs.attention_mask, to=net.reals), [2])
    channels = op.Transpose(op.Mul(embedded, mask), perm=[0, 2, 1])
    weight, bias = net.tensor(f"{at}.conv.weight"), net.tensor(f"{at}.conv.bias")
    convolved = op.Conv(channels, weight, bias, kernel_shape=[kernel], pads=[(kernel - 1) // 2] * 2, group=groups)
    convolved = net.activate(op.Transpose(convolved, perm=[0, 2, 1]), config.get("conv_act", "tanh"))
    return net.add_norm(convolved, first, f"{at}.LayerNorm", config["layer_norm_eps"])


def encode(net: Net, config: HfConfig, inputs: EncoderInputs) -> ir.Value:
    """last_hidden_state [batch, sequence, hidden]."""
    options = Disentangled.from_config(config)
    hidden_states = embedded = embeddings(net, config, inputs)
    padding = padding_mask(net, inputs.attention_mask)
    count = config["num_attention_heads"]
    width = net.checkpoint.shape(f"deberta.encoder.layer.0.{NAMES.query}.weight")[0]
    scale = 1 / math.sqrt(width // count * (1 + len(options.terms)))
    shape = LayerShape(count, config["hidden_act"], config["layer_norm_eps"], NAMES, scale)
    biased = options.relative and options.terms
    distances = distances_of(net, options, config, inputs.input_ids) if biased else None
    for index in range(config["num_hidden_layers"]):
        at = f"deberta.encoder.layer.{index}"
        bias = disentangled_bias(net, config, options, f"{at}.attention.self", distances, scale) if distances else None
        hidden_states = encoder_layer(net, shape, at, hidden_states, padding, bias)
        if index == 0 and config.get("conv_kernel_size", 0) > 0:
            hidden_states = convolution(net, config, inputs, embedded, hidden_states)
    return hidden_states


def sequence_classifier(net: Net, config: HfConfig, hidden_states: ir.Value, mask: ir.Value) -> heads.Outputs:
    """logits [batch, labels]; the pooler's activation is the configuration's."""
    activation = config["pooler_hidden_act"]
    return heads.first_token_classifier("pooler.dense", activation, "classifier")(net, config, hidden_states, mask)


WORDS = "deberta.embeddings.word_embeddings.weight"
LEGACY_MASKED_LM: Head = heads.masked_lm(
    "cls.predictions.transform.dense",
    "config.hidden_act",
    "cls.predictions.transform.LayerNorm",
    "config.layer_norm_eps",
    words=WORDS,
    decoder="cls.predictions.decoder",
    bias="cls.predictions.bias",
)
MASKED_LM: Head = heads.masked_lm(
    "lm_predictions.lm_head.dense",
    "config.hidden_act",
    "lm_predictions.lm_head.LayerNorm",
    "config.layer_norm_eps",
    words=WORDS,
    decoder="lm_predictions.lm_head",
    bias="lm_predictions.lm_head.bias",
    always_tied=True,
)


def masked_lm(net: Net, config: HfConfig, hidden_states: ir.Value, mask: ir.Value) -> heads.Outputs:
    """logits [batch, sequence, vocabulary]; `legacy` tells transformers' first head from the authors' own."""
    return (LEGACY_MASKED_LM if config["legacy"] else MASKED_LM)(net, config, hidden_states, mask)


DEBERTA_V2 = Architecture(
    model_type="deberta-v2",
    prefix="deberta",
    encode=encode,
    heads={
        "sequence-classification": sequence_classifier,
        "token-classification": heads.token_classifier(),
        "question-answering": heads.span(),
        "masked-lm": masked_lm,
        "encoder": heads.last_hidden_state,
    },
    max_tokens=lambda config: config["max_position_embeddings"],
    reads_token_types=lambda config: config["type_vocab_size"] > 1,
    # transformers drops position embeddings that the configuration does not use, and v3's discriminator head.
    unused=(
        "*.position_ids",
        "deberta.embeddings.position_embeddings.*",
        "deberta.encoder.rel_embeddings.*",
        "deberta.encoder.LayerNorm.*",
        "mask_predictions.*",
        "lm_predictions.*",
        "cls.*",
        "pooler.*",
        "classifier.*",
        "qa_outputs.*",
    ),
)
