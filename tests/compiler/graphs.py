"""Running a built graph as it is served: optimizations off; one thread, since tiny models only wait for a second."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from layers.compiler.generative_recipe import GenerativeRecipe
from layers.compiler.plan import Plan
from layers.compiler.recipe import Recipe, save
from tests.compiler.texts import Ids


def session_of(recipe: Recipe, plan: Plan, directory: Path) -> ort.InferenceSession:
    """Write the plan's graph beside the checkpoint and open it."""
    return sessions_of(recipe, plan, directory)["model"]


def sessions_of(recipe: Recipe | GenerativeRecipe, plan: Plan, directory: Path) -> dict[str, ort.InferenceSession]:
    """Write every graph of the plan and open them, by part."""
    directory.mkdir(parents=True, exist_ok=True)
    files: dict[str, str] = {}
    for part, (model, _) in recipe.graphs(plan).items():
        files[part], _ = save(model, directory, plan.name, part, beside=files.get("model"))
    return {part: open_graph(directory / file) for part, file in files.items()}


def open_graph(path: Path) -> ort.InferenceSession:
    """As it is served."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def run(session: ort.InferenceSession, feeds: dict[str, Ids]) -> dict[str, NDArray[np.float32]]:
    """All outputs by name."""
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


def on_real_positions(values: NDArray[np.float32], mask: Ids) -> NDArray[np.float32]:
    """Outputs per token without those of padding, [real tokens, ...]; outputs per text as they are."""
    per_token = values.ndim >= 2 and values.shape[:2] == mask.shape
    return values[mask.astype(bool)] if per_token else values
