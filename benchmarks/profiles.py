"""Where BERT-base's milliseconds go, operator by operator: this project, onnxruntime's own int8, OpenVINO.

Profilers slow what they watch, and kernels that are fused count under one name: shares are to be read, not totals.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import encoder_models
from benchmarks.encoders import batch
from benchmarks.tables import header
from layers.artifact import Manifest
from layers.runtime.cpu import instruction_set

CASES = ("1 x 8", "1 x 128", "1 x 384", "8 x 128")
THREADS, CALLS = 2, 30
SHOWN = 6
Profile = dict[str, float]
# Operators by how their names begin, of all three runtimes.
KINDS = {
    "products": ("MatMul", "FusedMatMul", "DynamicQuantizeMatMul", "FullyConnected"),
    "attention": ("MultiHeadAttention", "QAttention", "Subgraph"),
}


def run(say: Callable[..., None]) -> dict[str, Any]:
    """Milliseconds a call by operator, the slowest first, for cases TEXTS x TOKENS."""
    encoder_models.prepare(say)
    found: dict[str, Any] = {}
    for case in CASES:
        ids = batch(case)
        feed = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        found[case] = {
            "hundredfold int8": _of_session(_served(), feed, optimized=False),
            "onnxruntime optimizer + quantize_dynamic": _of_session(encoder_models.ORT_INT8, feed, optimized=True),
            "OpenVINO + NNCF int8": _of_openvino(feed),
        }
        say(case, {name: round(sum(profile.values()), 2) for name, profile in found[case].items()})
    return found


def _served() -> Path:
    manifest = Manifest.read(encoder_models.ARTIFACT)
    chosen = manifest.chosen[instruction_set()]
    [file] = [variant.file for variant in manifest.variants if variant.name == chosen]
    assert file is not None
    return encoder_models.ARTIFACT / file


def _of_session(path: Path, feed: Mapping[str, Any], *, optimized: bool) -> Profile:
    import onnxruntime

    options, levels = onnxruntime.SessionOptions(), onnxruntime.GraphOptimizationLevel
    options.intra_op_num_threads = THREADS
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimized else levels.ORT_DISABLE_ALL
    options.enable_profiling = True
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = f"{folder}/profile"
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        own = {taken.name: feed[taken.name] for taken in session.get_inputs()}
        for _ in range(CALLS):
            session.run(None, own)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    times: Counter[str] = Counter()
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            times[event["args"]["op_name"]] += event["dur"] / 1e3
    return _a_call(times)


def _of_openvino(feed: Mapping[str, Any]) -> Profile:
    import openvino

    hints = {
        "INFERENCE_NUM_THREADS": THREADS,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
        "PERF_COUNT": True,
    }
    request = openvino.Core().compile_model(encoder_models.OPENVINO_INT8, "CPU", hints).create_infer_request()
    times: Counter[str] = Counter()
    for _ in range(CALLS):
        request.infer({name: feed[name] for name in ("input_ids", "attention_mask")})
        for node in request.get_profiling_info():
            if node.status == openvino.ProfilingInfo.Status.EXECUTED:
                times[f"{node.node_type} {node.exec_type}"] += node.real_time.total_seconds() * 1e3
    return _a_call(times)


def _a_call(times: Counter[str]) -> Profile:
    return {name: round(ms / CALLS, 3) for name, ms in times.most_common()}


def section(measured: dict[str, Any]) -> str:
    """For docs/benchmarks.md."""
    lines = [
        "## Where BERT-base's time goes",
        "",
        f"By each runtime's own profiler over {CALLS} calls: milliseconds a call, of the {SHOWN} operators that take "
        "most. A profiler slows what it watches: read the shares. onnxruntime's `QAttention` has the projections of "
        "queries, keys and values in it; OpenVINO's `Subgraph` is attention, in int8 too, and it runs no activation "
        "and no quantization apart from its products.",
        "",
        header("texts x tokens, contender", ["all", *(f"{place}." for place in range(1, SHOWN + 1))]),
    ]
    for case, profiles in measured.items():
        for name, profile in profiles.items():
            cells = [f"`{operator}` {ms:.2f}" for operator, ms in list(profile.items())[:SHOWN]]
            lines.append(f"| {case}, {name} | {sum(profile.values()):.2f} | " + " | ".join(cells) + " |")
    lines += ["", "The same in three kinds:", "", header("texts x tokens, contender", [*KINDS, "the rest"])]
    for case, profiles in measured.items():
        for name, profile in profiles.items():
            sums = {kind: _sum_of(profile, names) for kind, names in KINDS.items()}
            figures = [*sums.values(), sum(profile.values()) - sum(sums.values())]
            lines.append(f"| {case}, {name} | " + " | ".join(f"{ms:.2f}" for ms in figures) + " |")
    return "\n".join(lines)


def _sum_of(profile: Profile, names: tuple[str, ...]) -> float:
    return sum(ms for operator, ms in profile.items() if operator.startswith(names))
