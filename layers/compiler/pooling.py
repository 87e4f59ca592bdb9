"""Sentence embeddings inside the graph: the pooling (and dense layers) that `modules.json` states."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx_ir as ir

from layers.artifact import Pooling
from layers.compiler.checkpoint import SINGLE, TensorEntry, parse_json, read_entry, read_index
from layers.compiler.net import Net
from layers.compiler.plan import MASKED
from layers.errors import CheckpointError, UnsupportedError

Mode = Literal["cls", "mean", "max", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]
# sentence-transformers' flags in 1_Pooling/config.json; several at once would concatenate.
FLAGS: dict[str, Mode] = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
ACTIVATIONS = {
    "torch.nn.modules.activation.Tanh": "tanh",
    "torch.nn.modules.linear.Identity": "identity",
    "torch.nn.modules.activation.ReLU": "relu",
    "torch.nn.modules.activation.GELU": "gelu",
}
# sentence-transformers' settings of its Transformer module, by the names it has given the file.
ENCODER_SETTINGS = tuple(
    f"sentence_{family}_config.json"
    for family in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta")
)
# What follows what; Dense may repeat or be absent, Normalize may be absent.
ORDER = ("Transformer", "Pooling", "Dense", "Normalize")


@dataclass(frozen=True)
class Dense:
    """A dense layer after pooling: activation(x @ weight.T + bias)."""

    folder: Path
    activation: str
    has_bias: bool

    def tensor(self, name: str) -> TensorEntry:
        """`weight` or `bias` of the layer's own safetensors file."""
        return next(e for e in read_index(self.folder / SINGLE) if e.stored_name == f"linear.{name}")


@dataclass(frozen=True)
class SentenceModules:
    """What follows the encoder. `files` are the configuration files that were read, relative to the checkpoint."""

    pooling: Pooling
    dense: tuple[Dense, ...]
    max_tokens: int | None
    files: tuple[str, ...]


def read_modules(directory: Path, hidden_size: int) -> SentenceModules:
    """The modules of a sentence-transformers checkpoint; mean pooling, unstated, where there is no modules.json.

    Raises UnsupportedError for a module or a pooling that has no counterpart here, CheckpointError for broken files.
    """
    if not (directory / "modules.json").is_file():
        return SentenceModules(Pooling(mode="mean", normalize=True, stated=False, dimension=hidden_size), (), None, ())
    files = ["modules.json"]
    mode: Mode = "mean"
    dense: list[Dense] = []
    normalize = False
    dimension = hidden_size
    modules = _read(directory, "modules.json", files)
    kinds = [module["type"].rsplit(".", 1)[-1] for module in modules]
    _refuse_other_orders(directory, [kind for kind in kinds if kind in ORDER])
    for module, kind in zip(modules, kinds, strict=True):
        if kind == "Pooling":
            mode = _pooling_mode(directory, _read(directory, f"{module['path']}/config.json", files))
        elif kind == "Dense":
            config = _read(directory, f"{module['path']}/config.json", files)
            activation = ACTIVATIONS.get(config["activation_function"])
            if activation is None or not (directory / module["path"] / SINGLE).is_file():
                raise UnsupportedError(
                    f"{module['path']}, for {directory.name}: got activation {config['activation_function']!r} "
                    f"and {'no ' if activation else ''}{SINGLE}, expected one of {', '.join(ACTIVATIONS)} and "
                    "safetensors. Convert the layer, or add its activation to ACTIVATIONS in pooling.py."
                )
            files.append(f"{module['path']}/{SINGLE}")
            dense.append(Dense(directory / module["path"], activation, config.get("bias", True)))
            dimension = config["out_features"]
        elif kind == "Normalize":
            normalize = True
        elif kind != "Transformer":
            raise UnsupportedError(
                f"modules.json, for {directory.name}: got {module['type']}, expected {', '.join(ORDER)}. "
                "Serve the encoder from a checkpoint without it, or add its form to pooling.py."
            )
    prompts, default_prompt_name = _prompts(directory, files)
    stated = next((name for name in ENCODER_SETTINGS if (directory / name).is_file()), None)
    encoder = _read(directory, stated, files) if stated else {}
    pooling = Pooling(
        mode=mode,
        normalize=normalize,
        stated=True,
        dimension=dimension,
        prompts=prompts,
        default_prompt_name=default_prompt_name,
        lowercase=bool(encoder.get("do_lower_case")),
    )
    return SentenceModules(pooling, tuple(dense), encoder.get("max_seq_length"), tuple(files))


def pool(net: Net, modules: SentenceModules, hidden_states: ir.Value, attention_mask: ir.Value) -> ir.Value:
    """last_hidden_state [batch, sequence, hidden] -> sentence_embedding [batch, dimension], not normalized."""
    op = net.op
    mask = op.Cast(attention_mask, to=ir.DataType.FLOAT)
    match modules.pooling.mode:
        case "cls":
            pooled = net.first_token(hidden_states)
        case "lasttoken":
            last = op.Sub(op.ReduceSum(attention_mask, [1], keepdims=1), 1)
            pooled = op.Squeeze(op.GatherND(hidden_states, op.Unsqueeze(last, [2]), batch_dims=1), [1])
        case "max":
            hidden = op.Mul(op.Sub(1.0, op.Unsqueeze(mask, [2])), MASKED)
            pooled = op.ReduceMax(op.Add(hidden_states, hidden), [1], keepdims=0)
        case mode:
            weights = op.Mul(mask, op.CumSum(mask, 1)) if mode == "weightedmean" else mask
            total = op.ReduceSum(weights, [1], keepdims=1)
            divisor = op.Sqrt(total) if mode == "mean_sqrt_len_tokens" else total
            summed = op.Squeeze(op.MatMul(op.Unsqueeze(weights, [1]), hidden_states), [1])
            pooled = op.Div(summed, divisor)
    for index, layer in enumerate(modules.dense):
        pooled = _dense(net, layer, f"dense.{index}", pooled)
    return pooled


def _dense(net: Net, layer: Dense, name: str, x: ir.Value) -> ir.Value:
    def initializer(part: str) -> ir.Value:
        entry = layer.tensor(part)
        return net.lazy(
            f"{name}.{part}", ir.DataType.FLOAT, entry.shape, lambda: np.asarray(read_entry(entry), np.float32)
        )

    inputs = [x, initializer("weight")] + ([initializer("bias")] if layer.has_bias else [])
    return net.activate(net.op.Gemm(*inputs, transB=1), layer.activation)


def _refuse_other_orders(directory: Path, kinds: list[str]) -> None:
    """Dense before Pooling, or Normalize before Dense, would be another function of the same weights."""
    if kinds != sorted(kinds, key=ORDER.index) or kinds[:2] != ["Transformer", "Pooling"] or kinds.count("Pooling") > 1:
        raise UnsupportedError(
            f"modules.json, for {directory.name}: got {kinds}, expected Transformer, Pooling, any Dense, Normalize in "
            "this order. Add the order to pooling.py."
        )


def _pooling_mode(directory: Path, config: Any) -> Mode:
    modes: list[Mode] = [mode for flag, mode in FLAGS.items() if config.get(flag)]
    if config.get("pooling_mode") in FLAGS.values():
        modes = [config["pooling_mode"]]
    if len(modes) != 1:
        raise UnsupportedError(
            f"pooling, for {directory.name}: got {modes or config}, expected exactly one of "
            f"{', '.join(FLAGS.values())}. Add the concatenation to pooling.py."
        )
    if not config.get("include_prompt", True):
        raise UnsupportedError(
            f"include_prompt of the pooling, for {directory.name}: got False, expected True. "
            "Leaving a prompt's tokens out of the mean needs their count as an input, which no graph here has."
        )
    return modes[0]


def _prompts(directory: Path, files: list[str]) -> tuple[dict[str, str], str | None]:
    """Texts to put before an input by name, and the name of the one that stands before all that ask for none."""
    settings = _read_optional(directory, "config_sentence_transformers.json", files)
    # An empty one is a name that may be asked for, and may be the default: sentence-transformers writes such.
    prompts = {name: text or "" for name, text in (settings.get("prompts") or {}).items()}
    default = settings.get("default_prompt_name")
    if default is not None and default not in prompts:
        raise CheckpointError(
            f"config_sentence_transformers.json's default_prompt_name, for {directory.name}: got {default!r}, expected "
            f"one of {', '.join(prompts) or 'no prompts'}. Correct the file, or leave the name out."
        )
    return prompts, default


def _read(directory: Path, name: str, files: list[str]) -> Any:
    files.append(name)
    return parse_json(directory / name)


def _read_optional(directory: Path, name: str, files: list[str]) -> Any:
    return _read(directory, name, files) if (directory / name).is_file() else {}
