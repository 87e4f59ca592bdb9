"""A checkpoint's fp32 graph as the runtime opens it: the build without candidates, gate and clock."""

from __future__ import annotations

from pathlib import Path

from layers.artifact import Source
from layers.catalogue import ModelSpec
from layers.compiler import tokenizer
from layers.compiler.draft import Draft
from layers.compiler.plan import FP32
from layers.compiler.recipe import open_recipe
from layers.runtime.predictor import Predictor


def compile_fp32(checkpoint: Path, task: str, directory: Path) -> Predictor:
    """Write the fp32 graph of a checkpoint into `directory`, without judging it, and open it."""
    spec = ModelSpec.model_validate({"name": "compiled", "source": str(checkpoint), "task": task})
    source = Source(location=spec.source, revision=None, files={})
    converted = tokenizer.convert(checkpoint, directory)
    draft = Draft(directory, spec, open_recipe(checkpoint, spec.task), converted, source, "", "x86_64")
    draft.add(FP32)
    return Predictor(draft.open(FP32.name))
