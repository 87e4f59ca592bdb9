"""Small generative artifacts written by hand, and what they compute in numpy, without a cache.

Two layers of grouped attention over an embedding, and for encoder-decoders attention to the source behind each. A
token's place shows only through what it may attend to, which is enough to notice a wrong cache.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from layers.artifact import Manifest, record_file
from layers.generation import CacheLayout, Generation, GenerationDefaults
from tests.runtime.toy_artifact import _manifest

MODELS = Path(__file__).parents[3] / "examples" / "models"
LAYERS, HEADS, KV_HEADS, WIDTH = 2, 4, 2, 16
HIDDEN = HEADS * WIDTH
VOCABULARY = 8192

Weights = dict[str, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class ToyDecoder:
    """An artifact on disk and its weights."""

    directory: Path
    weights: Weights
    seq2seq: bool

    def logits(self, tokens: Sequence[int], source: Sequence[int] | None = None) -> np.ndarray[Any, Any]:
        """[sequence, vocabulary], all at once."""
        weights = self.weights
        hidden = weights["table"][list(tokens)].astype(np.float64)
        length = len(tokens)
        mask = np.where(np.tri(length, dtype=bool), 0.0, -np.inf)
        for layer in range(LAYERS):
            query, key, value = (hidden @ weights[f"{part}.{layer}"] for part in ("q", "k", "v"))
            key = key.reshape(length, KV_HEADS, WIDTH).repeat(HEADS // KV_HEADS, axis=1)
            value = value.reshape(length, KV_HEADS, WIDTH).repeat(HEADS // KV_HEADS, axis=1)
            hidden = hidden + attend(query.reshape(length, HEADS, WIDTH), key, value, mask)
            if source is not None:
                words = weights["table"][list(source)].astype(np.float64)
                cross_key, cross_value = (
                    (words @ weights[f"cross_{part}.{layer}"]).reshape(len(words), HEADS, WIDTH) for part in ("k", "v")
                )
                query = (hidden @ weights[f"cross_q.{layer}"]).reshape(length, HEADS, WIDTH)
                hidden = hidden + attend(query, cross_key, cross_value, np.zeros((length, len(words))))
        answer: np.ndarray[Any, Any] = hidden @ weights["head"]
        return answer

    def greedy(self, tokens: Sequence[int], count: int, source: Sequence[int] | None = None) -> list[int]:
        """The `count` likeliest tokens, one after another."""
        sequence = list(tokens)
        for _ in range(count):
            sequence.append(int(self.logits(sequence, source)[-1].argmax()))
        return sequence[len(tokens) :]


def attend(query: Any, key: Any, value: Any, mask: Any) -> Any:
    """Attention of [length, heads, width] to [others, heads, width], joined to [length, heads * width]."""
    scores = np.einsum("qhd,khd->hqk", query, key) / np.sqrt(WIDTH) + mask
    shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
    shares /= shares.sum(axis=-1, keepdims=True)
    return np.einsum("hqk,khd->qhd", shares, value).reshape(len(query), -1)


def write_toy_decoder(
    directory: Path,
    *,
    name: str = "toy-writer",
    task: str = "text-generation",
    tokenizer: str = "debian-writer",
    max_tokens: int = 300,
    row_independent: bool = True,
    eos_token_ids: tuple[int, ...] = (0,),
    defaults: GenerationDefaults | None = None,
    scale: float = 1.0,
    seed: int = 0,
    **more: Any,
) -> ToyDecoder:
    """Write an artifact for `task`, an encoder-decoder unless that is text-generation; `more` goes to Generation."""
    directory.mkdir(parents=True)
    seq2seq = task != "text-generation"
    toy = ToyDecoder(directory, _weights(seed, seq2seq, scale), seq2seq)
    onnx.save(_decoder_graph(toy.weights, seq2seq), directory / "model.fp32.onnx")
    if seq2seq:
        onnx.save(_encoder_graph(toy.weights), directory / "encoder.fp32.onnx")
    shutil.copy(MODELS / tokenizer / "tokenizer.json", directory / "tokenizer.json")
    Generation(
        kind="encoder-decoder" if seq2seq else "decoder",
        vocabulary=VOCABULARY,
        max_tokens=max_tokens,
        source_max_tokens=64 if seq2seq else None,
        cache=CacheLayout(
            layers=LAYERS, kv_heads=KV_HEADS, head_dim=WIDTH,
            cross_heads=HEADS if seq2seq else 0, cross_head_dim=WIDTH if seq2seq else 0,
        ),
        bos_token_id=None if seq2seq else 0,
        eos_token_ids=eos_token_ids,
        pad_token_id=0,
        decoder_start_token_id=0 if seq2seq else None,
        special_token_ids=(0,),
        defaults=defaults or GenerationDefaults(),
        **more,
    ).write(directory)  # fmt: skip
    files = {path.name: record_file(path).model_dump() for path in sorted(directory.iterdir())}
    manifest = _manifest(name, task, (), None, max_tokens, None, row_independent, ("logits",), files)
    if seq2seq:
        manifest["variants"][0]["encoder_file"] = "encoder.fp32.onnx"
    Manifest.model_validate(manifest).write(directory)
    return toy


def _weights(seed: int, seq2seq: bool, scale: float) -> Weights:
    random = np.random.default_rng(seed)

    def matrix(rows: int, columns: int, scale: float) -> np.ndarray[Any, Any]:
        return (random.standard_normal((rows, columns)) * scale).astype(np.float32)

    weights = {"table": matrix(VOCABULARY, HIDDEN, 1.0), "head": matrix(HIDDEN, VOCABULARY, 0.2 * scale)}
    for layer in range(LAYERS):
        weights[f"q.{layer}"] = matrix(HIDDEN, HIDDEN, 0.25)
        weights[f"k.{layer}"] = matrix(HIDDEN, KV_HEADS * WIDTH, 0.25)
        weights[f"v.{layer}"] = matrix(HIDDEN, KV_HEADS * WIDTH, 0.4)
        if seq2seq:
            for part in ("cross_q", "cross_k", "cross_v"):
                weights[f"{part}.{layer}"] = matrix(HIDDEN, HIDDEN, 0.25)
    return weights


def _decoder_graph(weights: Weights, seq2seq: bool) -> onnx.ModelProto:
    node, constants = helper.make_node, dict(weights)
    constants["one"] = np.array(1, dtype=np.int32)
    constants["last"] = np.array([2], dtype=np.int64)
    nodes = [
        node("Gather", ["table", "input_ids"], ["hidden.0"]),
        node("Sub", ["lengths", "one"], ["seqlens_k"]),
    ]
    for layer in range(LAYERS):
        nodes += [node("MatMul", [f"hidden.{layer}", f"{part}.{layer}"], [f"{part}_of.{layer}"]) for part in "qkv"]
        past = [f"past_key_values.{layer}.key", f"past_key_values.{layer}.value"]
        present = [f"present.{layer}.key", f"present.{layer}.value"]
        after = f"self.{layer}" if seq2seq else f"hidden.{layer + 1}"
        nodes += [
            node(
                "GroupQueryAttention",
                [*(f"{part}_of.{layer}" for part in "qkv"), *past, "seqlens_k", "total_length"],
                [f"attended.{layer}", *present],
                domain="com.microsoft", num_heads=HEADS, kv_num_heads=KV_HEADS,
            ),
            node("Add", [f"hidden.{layer}", f"attended.{layer}"], [after]),
        ]  # fmt: skip
        if seq2seq:
            nodes += _cross_nodes(layer, constants)
    nodes += [
        node("Unsqueeze", ["logit_positions", "last"], ["places"]),
        node("GatherND", [f"hidden.{LAYERS}", "places"], ["wanted"], batch_dims=1),
        node("MatMul", ["wanted", "head"], ["logits"]),
    ]
    info, floats = helper.make_tensor_value_info, TensorProto.FLOAT
    cache = ["batch", KV_HEADS, "capacity", WIDTH]
    parts = [f"{layer}.{part}" for layer in range(LAYERS) for part in ("key", "value")]
    inputs = [
        info("input_ids", TensorProto.INT64, ["batch", "sequence"]),
        info("lengths", TensorProto.INT32, ["batch"]),
        info("total_length", TensorProto.INT32, []),
        info("logit_positions", TensorProto.INT64, ["batch", "positions"]),
        *(info(f"past_key_values.{part}", floats, cache) for part in parts),
    ]
    if seq2seq:
        inputs += [info(f"cross.{part}", floats, ["batch", HEADS, "source", WIDTH]) for part in parts]
        inputs.append(info("encoder_attention_mask", TensorProto.INT32, ["batch", "source"]))
    outputs = [
        info("logits", floats, ["batch", "positions", VOCABULARY]),
        *(info(f"present.{part}", floats, cache) for part in parts),
    ]
    return _model(nodes, inputs, outputs, constants)


def _cross_nodes(layer: int, constants: Weights) -> list[onnx.NodeProto]:
    node = helper.make_node
    constants["by_head"] = np.array([0, 0, HEADS, WIDTH], dtype=np.int64)
    constants["joined"] = np.array([0, 0, HIDDEN], dtype=np.int64)
    constants["scale"] = np.array(1 / np.sqrt(WIDTH), dtype=np.float32)
    constants["far"] = np.array(-1e9, dtype=np.float32)
    constants["mask_axes"] = np.array([1, 2], dtype=np.int64)
    constants["float_one"] = np.array(1.0, dtype=np.float32)
    steps = ("cq", "cq4", "cqh", "kt", "s", "ss", "m", "mi", "mm", "me", "sm", "p", "o", "ot", "oj")
    own = {name: f"{name}.{layer}" for name in steps}
    return [
        node("MatMul", [f"self.{layer}", f"cross_q.{layer}"], [own["cq"]]),
        node("Reshape", [own["cq"], "by_head"], [own["cq4"]]),
        node("Transpose", [own["cq4"]], [own["cqh"]], perm=[0, 2, 1, 3]),
        node("Transpose", [f"cross.{layer}.key"], [own["kt"]], perm=[0, 1, 3, 2]),
        node("MatMul", [own["cqh"], own["kt"]], [own["s"]]),
        node("Mul", [own["s"], "scale"], [own["ss"]]),
        node("Cast", ["encoder_attention_mask"], [own["m"]], to=TensorProto.FLOAT),
        node("Sub", ["float_one", own["m"]], [own["mi"]]),
        node("Mul", [own["mi"], "far"], [own["mm"]]),
        node("Unsqueeze", [own["mm"], "mask_axes"], [own["me"]]),
        node("Add", [own["ss"], own["me"]], [own["sm"]]),
        node("Softmax", [own["sm"]], [own["p"]], axis=-1),
        node("MatMul", [own["p"], f"cross.{layer}.value"], [own["o"]]),
        node("Transpose", [own["o"]], [own["ot"]], perm=[0, 2, 1, 3]),
        node("Reshape", [own["ot"], "joined"], [own["oj"]]),
        node("Add", [f"self.{layer}", own["oj"]], [f"hidden.{layer + 1}"]),
    ]


def _encoder_graph(weights: Weights) -> onnx.ModelProto:
    node = helper.make_node
    constants = {name: array for name, array in weights.items() if name == "table" or name.startswith("cross_")}
    constants["by_head"] = np.array([0, 0, HEADS, WIDTH], dtype=np.int64)
    nodes = [node("Gather", ["table", "input_ids"], ["words"])]
    info = helper.make_tensor_value_info
    outputs = []
    for layer in range(LAYERS):
        for part, short in (("key", "k"), ("value", "v")):
            name = f"cross.{layer}.{part}"
            nodes += [
                node("MatMul", ["words", f"cross_{short}.{layer}"], [f"{name}.flat"]),
                node("Reshape", [f"{name}.flat", "by_head"], [f"{name}.split"]),
                node("Transpose", [f"{name}.split"], [name], perm=[0, 2, 1, 3]),
            ]
            outputs.append(info(name, TensorProto.FLOAT, ["batch", HEADS, "source", WIDTH]))
    inputs = [info(name, TensorProto.INT64, ["batch", "source"]) for name in ("input_ids", "attention_mask")]
    return _model(nodes, inputs, outputs, constants)


def _model(nodes: Any, inputs: Any, outputs: Any, constants: Weights) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes, "toy", inputs, outputs, [numpy_helper.from_array(array, name) for name, array in constants.items()]
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)
