"""The post-norm encoder of BERT (arxiv.org/abs/1810.04805) and its relatives that differ in names and positions.

bert, electra: positions count from 0. roberta, xlm-roberta, camembert: positions count real tokens from
pad_token_id + 1 (fairseq's rule), so two of the table's rows are never read and a text has two fewer tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import onnx_ir as ir

from layers.compiler.architectures import heads
from layers.compiler.architectures.architecture import Architecture, EncoderInputs, Head, HfConfig
from layers.compiler.net import Net
from layers.compiler.stored import Projection


@dataclass(frozen=True)
class LayerNames:
    """Module names inside one encoder layer."""

    query: str = "attention.self.query"
    key: str = "attention.self.key"
    value: str = "attention.self.value"
    attention_output: str = "attention.output.dense"
    attention_norm: str = "attention.output.LayerNorm"
    intermediate: str = "intermediate.dense"
    output: str = "output.dense"
    output_norm: str = "output.LayerNorm"


@dataclass(frozen=True)
class LayerShape:
    """What a post-norm layer needs to know besides its weights."""

    heads: int
    activation: str
    epsilon: float
    names: LayerNames = LayerNames()
    scale: float | None = None


# (query, key) [batch, sequence, hidden] -> what is added to the scores, [batch or 1, heads or 1, sequence, sequence]
ScoreBias = Callable[[ir.Value, ir.Value], ir.Value]


def encoder_layer(
    net: Net, shape: LayerShape, at: str, hidden_states: ir.Value, padding: ir.Value, bias: ScoreBias | None = None
) -> ir.Value:
    """One layer at module `at`: attention, residual + norm, feed-forward, residual + norm."""
    names, epsilon = shape.names, shape.epsilon
    parts = [Projection(f"{at}.{part}") for part in (names.query, names.key, names.value)]
    query, key, value = net.projected(hidden_states, parts)
    attended = net.attention(
        query,
        key,
        value,
        heads=shape.heads,
        key_padding_mask=padding,
        bias=bias(query, key) if bias else None,
        scale=shape.scale,
    )
    attended = net.linear(attended, f"{at}.{names.attention_output}")
    hidden_states = net.add_norm(attended, hidden_states, f"{at}.{names.attention_norm}", epsilon)
    expanded = net.linear(hidden_states, f"{at}.{names.intermediate}", activation=shape.activation)
    contracted = net.linear(expanded, f"{at}.{names.output}")
    return net.add_norm(contracted, hidden_states, f"{at}.{names.output_norm}", epsilon)


def padding_mask(net: Net, attention_mask: ir.Value) -> ir.Value:
    """attention_mask as the int32 [batch, sequence] that MultiHeadAttention takes."""
    return net.op.Cast(attention_mask, to=ir.DataType.INT32)


def counted_positions(net: Net, input_ids: ir.Value, table: str) -> ir.Value:
    """Position embeddings 0, 1, 2 ... [sequence, hidden]: the head of the table, with no gather."""
    length = net.op.Shape(input_ids, start=1, end=2)
    net.checkpoint.used.add(table)
    return net.op.Slice(net.tensor(table), [0], length)


def padded_positions(net: Net, input_ids: ir.Value, table: str, pad_token_id: int) -> ir.Value:
    """Position embeddings of fairseq's rule."""
    return net.op.Gather(net.tensor(table), fairseq_places(net, input_ids, pad_token_id))


def fairseq_places(net: Net, input_ids: ir.Value, pad_token_id: int) -> ir.Value:
    """Rows of a position table [batch, sequence]: tokens that are not padding count from pad_token_id + 1."""
    op = net.op
    real = op.Cast(op.Not(op.Equal(input_ids, pad_token_id)), to=ir.DataType.INT64)
    return op.Add(op.Mul(op.CumSum(real, 1), real), pad_token_id)


def token_types(net: Net, inputs: EncoderInputs, table: str) -> ir.Value:
    """Embeddings of token types; of type 0, [hidden], where the graph has no such input."""
    types = net.tensor(table)
    if inputs.token_type_ids is None:
        return net.op.Gather(types, 0, axis=0)
    return net.op.Gather(types, inputs.token_type_ids)


def embeddings(net: Net, config: HfConfig, inputs: EncoderInputs, at: str, *, fairseq_positions: bool) -> ir.Value:
    """norm(words + token types + positions), [batch, sequence, embedding_size]."""
    op = net.op
    hidden_states = net.embed(inputs.input_ids, f"{at}.word_embeddings.weight")
    hidden_states = op.Add(hidden_states, token_types(net, inputs, f"{at}.token_type_embeddings.weight"))
    table = f"{at}.position_embeddings.weight"
    positions = (
        padded_positions(net, inputs.input_ids, table, config["pad_token_id"])
        if fairseq_positions
        else counted_positions(net, inputs.input_ids, table)
    )
    return net.layer_norm(op.Add(hidden_states, positions), f"{at}.LayerNorm", config["layer_norm_eps"])


def encode(net: Net, config: HfConfig, inputs: EncoderInputs, prefix: str, *, fairseq_positions: bool) -> ir.Value:
    """last_hidden_state [batch, sequence, hidden]."""
    hidden_states = embeddings(net, config, inputs, f"{prefix}.embeddings", fairseq_positions=fairseq_positions)
    # ELECTRA's small models embed in fewer dimensions than they think in.
    if config.get("embedding_size", config["hidden_size"]) != config["hidden_size"]:
        hidden_states = net.linear(hidden_states, f"{prefix}.embeddings_project")
    shape = LayerShape(config["num_attention_heads"], config["hidden_act"], config["layer_norm_eps"])
    padding = padding_mask(net, inputs.attention_mask)
    for index in range(config["num_hidden_layers"]):
        hidden_states = encoder_layer(net, shape, f"{prefix}.encoder.layer.{index}", hidden_states, padding)
    return hidden_states


def _configured(
    model_type: str, prefix: str, task_heads: dict[str, Head], unused: tuple[str, ...], *, fairseq: bool
) -> Architecture:
    return Architecture(
        model_type=model_type,
        prefix=prefix,
        encode=lambda net, config, inputs: encode(net, config, inputs, prefix, fairseq_positions=fairseq),
        heads=task_heads,
        max_tokens=lambda config: config["max_position_embeddings"] - (config["pad_token_id"] + 1 if fairseq else 0),
        # RoBERTa's tokenizers never emit token types, whatever the size of the table.
        reads_token_types=lambda config: not fairseq and config["type_vocab_size"] > 1,
        unused=("*.position_ids", "*.embeddings.token_type_ids", *unused),
    )


BERT = _configured(
    "bert",
    "bert",
    {
        "sequence-classification": heads.first_token_classifier("bert.pooler.dense", "tanh", "classifier"),
        "token-classification": heads.token_classifier(),
        "question-answering": heads.span(),
        "masked-lm": heads.masked_lm(
            "cls.predictions.transform.dense",
            "config.hidden_act",
            "cls.predictions.transform.LayerNorm",
            "config.layer_norm_eps",
            words="bert.embeddings.word_embeddings.weight",
            decoder="cls.predictions.decoder",
            bias="cls.predictions.bias",
        ),
        "encoder": heads.last_hidden_state,
    },
    unused=("bert.pooler.*", "cls.*", "classifier.*", "qa_outputs.*"),
    fairseq=False,
)

ELECTRA = _configured(
    "electra",
    "electra",
    {
        "sequence-classification": heads.first_token_classifier("classifier.dense", "gelu", "classifier.out_proj"),
        "token-classification": heads.token_classifier(),
        "question-answering": heads.span(),
        "masked-lm": heads.masked_lm(
            "generator_predictions.dense",
            "gelu",
            "generator_predictions.LayerNorm",
            "config.layer_norm_eps",
            words="electra.embeddings.word_embeddings.weight",
            decoder="generator_lm_head",
            bias="generator_lm_head.bias",
        ),
        "encoder": heads.last_hidden_state,
    },
    unused=("generator_*", "discriminator_predictions.*", "classifier.*", "qa_outputs.*"),
    fairseq=False,
)

_ROBERTA_HEADS: dict[str, Head] = {
    "sequence-classification": heads.first_token_classifier("classifier.dense", "tanh", "classifier.out_proj"),
    "token-classification": heads.token_classifier(),
    "question-answering": heads.span(),
    "masked-lm": heads.masked_lm(
        "lm_head.dense",
        "gelu",
        "lm_head.layer_norm",
        "config.layer_norm_eps",
        words="roberta.embeddings.word_embeddings.weight",
        decoder="lm_head.decoder",
        bias="lm_head.bias",
    ),
    "encoder": heads.last_hidden_state,
}
_ROBERTA_UNUSED = ("roberta.pooler.*", "lm_head.*", "classifier.*", "qa_outputs.*")

ROBERTA, XLM_ROBERTA, CAMEMBERT = (
    _configured(model_type, "roberta", _ROBERTA_HEADS, _ROBERTA_UNUSED, fairseq=True)
    for model_type in ("roberta", "xlm-roberta", "camembert")
)
