"""Small artifacts written by hand, so that the runtime is tested without a compiler.

The graph looks up each token's row of a random table, adds its type's row, and averages over the
attention mask. With no normalization over the batch, a text's answer is its own whatever its company.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from layers.artifact import Manifest, record_file

TOKENIZER = Path(__file__).parents[2] / "examples" / "models" / "debian-sections" / "tokenizer.json"
VOCABULARY = 8192
HIDDEN = 8
LABELS = ("admin", "libs", "net", "python")


@dataclass(frozen=True)
class Toy:
    """An artifact on disk with the arrays that its graph was made of, to compute answers from."""

    directory: Path
    table: np.ndarray[Any, Any]
    types: np.ndarray[Any, Any]
    head: np.ndarray[Any, Any]

    def vector(self, input_ids: np.ndarray[Any, Any], token_type_ids: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """The pooled vector [hidden] of one text."""
        pooled: np.ndarray[Any, Any] = (self.table[input_ids] + self.types[token_type_ids]).mean(axis=0)
        return pooled


def write_toy(
    directory: Path,
    *,
    name: str = "toy",
    task: str = "text-classification",
    labels: tuple[str, ...] = LABELS,
    problem_type: str | None = None,
    max_tokens: int = 32,
    pooling: dict[str, Any] | None = None,
    bias: float = 0.0,
    row_independent: bool = True,
    seed: int = 0,
) -> Toy:
    """Write an artifact for `task`; `bias` is added to every logit (NaN makes a model that answers NaN)."""
    directory.mkdir(parents=True)
    random = np.random.default_rng(seed)
    toy = Toy(
        directory,
        random.standard_normal((VOCABULARY, HIDDEN)).astype(np.float32),
        random.standard_normal((2, HIDDEN)).astype(np.float32),
        random.standard_normal((HIDDEN, len(labels) or 1)).astype(np.float32),
    )
    outputs = ("logits",) if task == "text-classification" else ("last_hidden_state", "sentence_embedding")
    onnx.save(_graph(toy, outputs, bias), directory / "model.fp32.onnx")
    shutil.copy(TOKENIZER, directory / "tokenizer.json")
    files = {path.name: record_file(path).model_dump() for path in sorted(directory.iterdir())}
    manifest = _manifest(name, task, labels, problem_type, max_tokens, pooling, row_independent, outputs, files)
    Manifest.model_validate(manifest).write(directory)
    return toy


def _graph(toy: Toy, outputs: tuple[str, ...], bias: float) -> onnx.ModelProto:
    constants = {
        "table": toy.table,
        "types": toy.types,
        "head": toy.head,
        "bias": np.array(bias, dtype=np.float32),
        "sequence_axis": np.array([1], dtype=np.int64),
        "last_axis": np.array([2], dtype=np.int64),
    }
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["words"]),
        helper.make_node("Gather", ["types", "token_type_ids"], ["kinds"]),
        helper.make_node("Add", ["words", "kinds"], ["last_hidden_state"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last_axis"], ["column"]),
        helper.make_node("Mul", ["last_hidden_state", "column"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "sequence_axis"], ["total"], keepdims=0),
        helper.make_node("ReduceSum", ["column", "sequence_axis"], ["count"], keepdims=0),
        helper.make_node("Div", ["total", "count"], ["sentence_embedding"]),
        helper.make_node("MatMul", ["sentence_embedding", "head"], ["products"]),
        helper.make_node("Add", ["products", "bias"], ["logits"]),
    ]
    shapes = {
        "logits": ["batch", toy.head.shape[1]],
        "last_hidden_state": ["batch", "sequence", HIDDEN],
        "sentence_embedding": ["batch", HIDDEN],
    }
    graph = helper.make_graph(
        nodes,
        "toy",
        [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"])
            for name in ("input_ids", "attention_mask", "token_type_ids")
        ],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shapes[name]) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def _manifest(
    name: str,
    task: str,
    labels: tuple[str, ...],
    problem_type: str | None,
    max_tokens: int,
    pooling: dict[str, Any] | None,
    row_independent: bool,
    outputs: tuple[str, ...],
    files: dict[str, Any],
) -> dict[str, Any]:
    verdict = {
        "metric": "accuracy", "value": 1.0, "reference": 1.0, "drop": 0.0, "max_drop": 0.005, "n": 1,
        "interval": (0.0, 0.0), "distinguishable": False, "passed": True,
    }  # fmt: skip
    variant = {
        "name": "fp32", "precision": "fp32", "exact_on": ("x86_64-vnni", "x86_64-avx2", "arm64"),
        "bytes": files["model.fp32.onnx"]["bytes"], "file": "model.fp32.onnx", "weights_file": None,
        "verdict": verdict, "row_independent": row_independent, "kept_fp32": (), "latency_ms": {}, "fused_nodes": {},
    }  # fmt: skip
    return {
        "schema_version": 1, "name": name, "digest": "0" * 64,
        "spec": {"name": name, "source": f"examples/{name}", "task": task},
        "source": {"location": f"examples/{name}", "revision": None, "files": {}},
        "architecture": "toy", "task": task, "labels": labels if task == "text-classification" else (),
        "problem_type": problem_type, "limits": {"max_tokens": max_tokens}, "pooling": pooling, "pad_token_id": 0,
        "inputs": ("input_ids", "attention_mask", "token_type_ids"), "outputs": outputs, "target": "x86_64",
        "variants": (variant,),
        "chosen": {"x86_64-vnni": "fp32", "x86_64-avx2": "fp32", "arm64": "fp32"},
        "parity": "none", "unused_tensors": (), "goldens": (), "files": files, "versions": {},
    }  # fmt: skip
