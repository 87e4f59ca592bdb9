"""An example's fp32 graphs as an artifact: the compiler's part without candidates, gate and clock."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from layers.artifact import Manifest, record_file
from layers.compiler.generation_info import describe_generation
from layers.compiler.generative_recipe import GenerativeRecipe
from layers.compiler.plan import FP32
from layers.compiler.recipe import open_recipe, save
from tests.runtime.toy_artifact import _manifest


def write_compiled(checkpoint: Path, task: str, directory: Path, **more: Any) -> Path:
    """Write the artifact of a checkpoint that writes text; `more` are fields of `Generation` in place of its own."""
    recipe = open_recipe(checkpoint, task)
    assert isinstance(recipe, GenerativeRecipe)
    names = {part: save(model, directory, "fp32", part) for part, (model, _) in recipe.graphs(FP32).items()}
    shutil.copy(checkpoint / "tokenizer.json", directory)
    described = describe_generation(recipe, AutoTokenizer.from_pretrained(checkpoint), None)
    generation = described.model_copy(update=more)
    generation.write(directory)
    files = {path.name: record_file(path).model_dump() for path in directory.iterdir()}
    limit = generation.source_max_tokens or generation.max_tokens
    manifest = _manifest(checkpoint.name, task, (), None, limit, None, True, ("logits",), files)
    graph, weights = names["model"]
    encoder, encoder_weights = names.get("encoder", (None, None))
    manifest["variants"][0].update(
        file=graph, weights_file=weights, encoder_file=encoder, encoder_weights_file=encoder_weights
    )
    Manifest.model_validate(manifest).write(directory)
    return directory
