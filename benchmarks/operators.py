"""Why the graph uses the operators it does: forms of one linear layer, and of residual + norm, at BERT-base's sizes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from benchmarks.contest import hold_between, serve

CASES = ("1", "8", "32", "128", "384")
THREADS = 2
ROUNDS = 6
WIDTH, EXPANDED = 768, 3072
MICROSOFT = "com.microsoft"
Arrays = dict[str, np.ndarray[Any, Any]]
Built = tuple[list[onnx.NodeProto], Arrays, int]


def _weights(outputs: int) -> Arrays:
    random = np.random.default_rng(0)
    weight = random.normal(scale=0.05, size=(WIDTH, outputs)).astype(np.float32)
    scale = (np.abs(weight).max(axis=0) / 127).astype(np.float32)
    codes = np.rint(weight / scale).astype(np.int8)
    return {
        "weight": weight,
        "bias": random.normal(size=outputs).astype(np.float32),
        "codes": codes,
        "codes_u8": (codes.astype(np.int16) + 128).astype(np.uint8),
        "middles": np.full(outputs, 128, np.uint8),
        "scale": scale,
        "one": np.float32(1),
        "inverse": np.float32(1 / 127),
        "range": np.float32(0.03),
        "middle": np.uint8(128),
        "middle_s8": np.int8(0),
        "axis": np.array([-1], np.int64),
        "gamma": np.ones(WIDTH, np.float32),
        "beta": np.zeros(WIDTH, np.float32),
    }


def _node(operator: str, inputs: list[str], output: str, *, domain: str = "", **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(operator, inputs, [output], domain=domain, **attributes)


def _linear(nodes: list[onnx.NodeProto]) -> Built:
    return nodes, _weights(EXPANDED), EXPANDED


def _norm(nodes: list[onnx.NodeProto]) -> Built:
    return nodes, _weights(WIDTH), WIDTH


def _static(zero_point: str) -> Built:
    inputs = ["q", "codes", "range", "scale", zero_point, "", "bias"]
    return _linear(
        [
            _node("QuantizeLinear", ["x", "range", zero_point], "q"),
            _node("MatMulIntegerToFloat", inputs, "y", domain=MICROSOFT),
        ]
    )


def _row() -> Built:
    return _linear(
        [
            _node("ReduceMax", ["x", "axis"], "high", keepdims=1),
            _node("ReduceMin", ["x", "axis"], "low", keepdims=1),
            _node("Neg", ["low"], "negative"),
            _node("Max", ["high", "negative"], "peak"),
            _node("Mul", ["peak", "inverse"], "row_scale"),
            _node("Div", ["x", "row_scale"], "scaled"),
            _node("QuantizeLinear", ["scaled", "one", "middle"], "q"),
            _node("MatMulIntegerToFloat", ["q", "codes", "one", "scale", "middle"], "product", domain=MICROSOFT),
            _node("Mul", ["product", "row_scale"], "restored"),
            _node("Add", ["restored", "bias"], "y"),
        ]
    )


def _weight_only(block: int) -> Built:
    nodes, arrays, outputs = _linear(
        [
            _node(
                "MatMulNBits",
                ["x", "blocks", "block_scales", "", "", "bias"],
                "y",
                domain=MICROSOFT,
                K=WIDTH,
                N=EXPANDED,
                bits=8,
                block_size=block,
                accuracy_level=4,
            )
        ]
    )
    blocks = WIDTH // block
    random = np.random.default_rng(0)
    arrays["blocks"] = random.integers(0, 256, size=(EXPANDED, blocks, block), dtype=np.uint8)
    arrays["block_scales"] = np.full(EXPANDED * blocks, 1e-3, np.float32)
    return nodes, arrays, outputs


FORMS: dict[str, Callable[[], Built]] = {
    "linear: fp32 MatMul + Add": lambda: _linear(
        [_node("MatMul", ["x", "weight"], "t"), _node("Add", ["t", "bias"], "y")]
    ),
    "linear: int8, fixed range, u8 activations": lambda: _static("middle"),
    "linear: int8, fixed range, s8 activations": lambda: _static("middle_s8"),
    "linear: int8, range per row": _row,
    "linear: DynamicQuantizeMatMul, s8 weights": lambda: _linear(
        [_node("DynamicQuantizeMatMul", ["x", "codes", "scale", "", "bias"], "y", domain=MICROSOFT)]
    ),
    "linear: DynamicQuantizeMatMul, u8 weights": lambda: _linear(
        [_node("DynamicQuantizeMatMul", ["x", "codes_u8", "scale", "middles", "bias"], "y", domain=MICROSOFT)]
    ),
    "linear: MatMulNBits 8 bit, block 32": lambda: _weight_only(32),
    "linear: MatMulNBits 8 bit, block 128": lambda: _weight_only(128),
    "norm: Add + LayerNormalization": lambda: _norm(
        [_node("Add", ["x", "x"], "t"), _node("LayerNormalization", ["t", "gamma", "beta"], "y", epsilon=1e-12)]
    ),
    "norm: SkipLayerNormalization": lambda: _norm(
        [_node("SkipLayerNormalization", ["x", "x", "gamma", "beta"], "y", domain=MICROSOFT, epsilon=1e-12)]
    ),
}


def load(name: str) -> tuple[Callable[[str], Any], dict[str, Any]]:
    """A session of one form, and inputs of every length."""
    nodes, arrays, outputs = FORMS[name]()
    used = {tensor for node in nodes for tensor in node.input}
    graph = helper.make_graph(
        nodes,
        "form",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", "sequence", WIDTH])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", "sequence", outputs])],
        [numpy_helper.from_array(np.asarray(array), key) for key, array in arrays.items() if key in used],
    )
    imports = [helper.make_opsetid("", 23), helper.make_opsetid(MICROSOFT, 1)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=11)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    random = np.random.default_rng(1)
    feeds = {case: {"x": random.normal(size=(1, int(case), WIDTH)).astype(np.float32)} for case in CASES}
    return lambda case: session.run(None, feeds[case]), {}


def run(say: Callable[..., None]) -> dict[str, Any]:
    """Hold the contest and give its standings."""
    return hold_between(FORMS, __name__, CASES, THREADS, say, ROUNDS)


if __name__ == "__main__":
    serve({name: lambda name=name: load(name) for name in FORMS}, sys.argv[1], sys.argv[2:])
