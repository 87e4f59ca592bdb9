"""Task heads: last_hidden_state -> logits. Architectures name their modules and activations; shapes are shared.

Final projections stay exact (fp32): they are small, and their error lands on the logits undamped.
A vocabulary projection is the exception, being as large as the embeddings.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from layers.compiler.architectures.architecture import Head, HfConfig
from layers.compiler.net import Net
from layers.errors import UnsupportedError

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
        labels = net.checkpoint.shape(f"{projection}.weight")[0]
        if labels != 2:
            raise UnsupportedError(
                f"labels of {projection}, for {net.checkpoint.title}: got {labels}, "
                "expected 2, a start and an end. Train the checkpoint with num_labels = 2."
            )
        logits = net.linear(hidden_states, projection, exact=True)
        return {
            "start_logits": net.op.Gather(logits, 0, axis=2),
            "end_logits": net.op.Gather(logits, 1, axis=2),
        }

    return head


def masked_lm(
    dense: str,
    activation: str,
    norm: str,
    epsilon: str | float,
    *,
    words: str,
    decoder: str,
    bias: str,
    always_tied: bool = False,
) -> Head:
    """norm(activation(dense(x))) @ words.T + bias -> logits [batch, sequence, vocabulary].

    `activation` and `epsilon` are literal, or "config.KEY" to read them from the configuration. `words` and `bias`
    are what `decoder`'s own weight and bias are tied to, unless the configuration says tie_word_embeddings = false.
    """

    def head(net: Net, config: HfConfig, hidden_states: ir.Value, _mask: ir.Value) -> Outputs:
        transformed = net.linear(hidden_states, dense, activation=str(_configured(activation, config)))
        transformed = net.layer_norm(transformed, norm, float(_configured(epsilon, config)))
        weight = words if always_tied else tied(net, config, f"{decoder}.weight", words)
        own_bias = bias if always_tied else tied(net, config, f"{decoder}.bias", bias)
        return {"logits": net.linear(transformed, decoder, weight=weight, bias=own_bias)}

    return head


def tied(net: Net, config: HfConfig, own: str, shared: str) -> str:
    """The name of the tensor that stands at `own`, which the architecture ties to `shared`.

    As transformers' tie_weights has it: a checkpoint that holds both with different values is not tied,
    whatever its configuration says.
    """
    checkpoint = net.checkpoint
    if not config.get("tie_word_embeddings", True) or own == shared:
        return own
    if own not in checkpoint or shared not in checkpoint:
        return shared if shared in checkpoint else own
    return shared if np.array_equal(checkpoint.read(own), checkpoint.read(shared)) else own


def last_hidden_state(_net: Net, _config: HfConfig, hidden_states: ir.Value, _mask: ir.Value) -> Outputs:
    """The encoder's own output [batch, sequence, hidden]; pooling is added by the build where it is stated."""
    return {"last_hidden_state": hidden_states}


def _configured(value: str | float, config: HfConfig) -> str | float:
    if isinstance(value, str) and value.startswith("config."):
        return config[value.removeprefix("config.")]  # type: ignore[no-any-return]
    return value
