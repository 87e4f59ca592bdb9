"""Task heads: last_hidden_state -> logits. Architectures name their modules and activations; shapes are shared.

Final projections stay exact (fp32): they are small, and their error lands on the logits undamped.
A vocabulary projection is the exception, being as large as the embeddings.
"""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir as ir

from layers.compiler.architectures.architecture import Head, HfConfig
from layers.compiler.net import Net

Outputs = Mapping[str, ir.Value]


def first_token_classifier(dense: str, activation: str, projection: str) -> Head:
    """activation(dense(first token)) -> logits [batch, labels]."""

    def head(net: Net, _config: HfConfig, hidden_states: ir.Value, _mask: ir.Value) -> Outputs:
        pooled = net.linear(net.first_token(hidden_states), dense, activation=activation, exact=True)
        return {"logits": net.linear(pooled, projection, exact=True)}

    return head


def token_classifier(projection: str = "classifier") -> Head:
    """logits [batch, sequence, labels]."""

    def head(net: Net, _config: HfConfig, hidden_states: ir.Value, _mask: ir.Value) -> Outputs:
        return {"logits": net.linear(hidden_states, projection, exact=True)}

    return head


def span(projection: str = "qa_outputs") -> Head:
    """start_logits and end_logits, each [batch, sequence]."""

    def head(net: Net, _config: HfConfig, hidden_states: ir.Value, _mask: ir.Value) -> Outputs:
        logits = net.linear(hidden_states, projection, exact=True)
        return {
            "start_logits": net.op.Gather(logits, 0, axis=2),
            "end_logits": net.op.Gather(logits, 1, axis=2),
        }

    return head


def masked_lm(
    dense: str, activation: str, norm: str, epsilon: str | float, words: str, decoder: str, bias: str
) -> Head:
    """norm(activation(dense(x))) @ words.T + bias -> logits [batch, sequence, vocabulary].

    `activation` and `epsilon` are literal, or "config.KEY" to read them from the configuration. `words` is the
    embedding that the decoder shares unless the configuration says tie_word_embeddings = false.
    """

    def head(net: Net, config: HfConfig, hidden_states: ir.Value, _mask: ir.Value) -> Outputs:
        transformed = net.linear(hidden_states, dense, activation=str(_configured(activation, config)))
        transformed = net.layer_norm(transformed, norm, float(_configured(epsilon, config)))
        tied = config.get("tie_word_embeddings", True) or f"{decoder}.weight" not in net.checkpoint
        weight = words if tied else f"{decoder}.weight"
        return {"logits": net.linear(transformed, decoder, weight=weight, bias=bias)}

    return head


def last_hidden_state(_net: Net, _config: HfConfig, hidden_states: ir.Value, _mask: ir.Value) -> Outputs:
    """The encoder's own output [batch, sequence, hidden]; pooling is added by the build where it is stated."""
    return {"last_hidden_state": hidden_states}


def _configured(value: str | float, config: HfConfig) -> str | float:
    if isinstance(value, str) and value.startswith("config."):
        return config[value.removeprefix("config.")]  # type: ignore[no-any-return]
    return value
