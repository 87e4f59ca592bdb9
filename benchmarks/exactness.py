"""Which variants give the same answers on an AVX2-only processor: run under qemu's Haswell, compared with this machine.

    python -m benchmarks exactness        needs qemu-x86_64-static (Debian's qemu-user-static) and a VNNI processor

Numbers only: nothing is timed under emulation.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.example_artifacts import ROOT, SECTIONS
from layers.catalogue import ModelSpec
from layers.compiler.calibration import calibrate
from layers.compiler.examples import load_examples
from layers.compiler.plan import FP32
from layers.compiler.recipe import open_recipe, save
from layers.compiler.variants import candidates

EMULATOR = "qemu-x86_64-static"
TEXTS = 24
# Runs on either processor: a graph and inputs in, logits out. Nothing but onnxruntime and numpy.
PROBE = """
import sys, numpy, onnxruntime
options = onnxruntime.SessionOptions()
options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
feeds = numpy.load(sys.argv[2])
rows = [session.run(None, {"input_ids": feeds[k], "attention_mask": numpy.ones_like(feeds[k])})[0] for k in feeds.files]
numpy.save(sys.argv[3], numpy.concatenate(rows))
"""


def run(say: Callable[..., None]) -> dict[str, Any]:
    """Largest difference of the logits between the two processors, and how many labels changed, by variant."""
    if shutil.which(EMULATOR) is None:
        raise SystemExit(f"{EMULATOR} is not installed; on Debian: apt-get install qemu-user-static")
    from tokenizers import Tokenizer

    spec = ModelSpec.model_validate(
        {
            "name": "debian-sections",
            "source": str(SECTIONS),
            "task": "text-classification",
            "gate": {"data": str(SECTIONS / "heldout.jsonl")},
        }
    )
    data = load_examples(spec, ROOT)
    tokenizer = Tokenizer.from_file(str(SECTIONS / "tokenizer.json"))
    ids = [np.array([tokenizer.encode(e.text).ids[:256]], np.int64) for e in (*data.calibration, *data.judged[:TEXTS])]
    recipe = open_recipe(SECTIONS, spec.task)
    measured: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        feeds = [{"input_ids": row, "attention_mask": np.ones_like(row)} for row in ids[:-TEXTS]]
        calibration = calibrate(recipe, feeds, work)
        np.savez(work / "inputs.npz", *ids[-TEXTS:])
        for plan in [FP32, *(p for p in candidates(spec, calibration) if p is not FP32)]:
            model, _ = recipe.write(plan)
            graph, _ = save(model, work, plan.name)
            here = _logits(work, graph, [])
            there = _logits(work, graph, [EMULATOR, "-cpu", "Haswell"])
            measured[plan.name] = {
                "largest difference": float(np.abs(here - there).max()),
                "scale": float(np.abs(here).max()),
                "labels changed": int((here.argmax(-1) != there.argmax(-1)).sum()),
                "texts": TEXTS,
                "claimed exact on x86_64-avx2": "x86_64-avx2" in plan.exact_on,
            }
            say(plan.name, measured[plan.name])
    return measured


def _logits(work: Path, graph: str, emulator: list[str]) -> np.ndarray[Any, np.dtype[np.float32]]:
    out = work / "logits.npy"
    command = [*emulator, sys.executable, "-c", PROBE, str(work / graph), str(work / "inputs.npz"), str(out)]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    logits: np.ndarray[Any, np.dtype[np.float32]] = np.load(out)
    return logits
