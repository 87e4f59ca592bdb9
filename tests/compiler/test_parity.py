"""Parity is the proof: every family, every head and every option against the unmodified transformers model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as state

from layers.compiler.plan import FP32
from layers.compiler.recipe import open_recipe
from tests.compiler.checkpoints import FAMILIES, HEADS, PAD, Case, reference
from tests.compiler.graphs import on_real_positions, run, session_of
from tests.compiler.texts import batch, batches
from tests.compiler.variations import VARIATIONS

# The largest absolute difference, as a share of the reference's largest absolute value. One for all.
TOLERANCE = 1e-4

MATRIX = [Case(family, head, {"num_labels": 2}) for family in FAMILIES for head in HEADS]
LABELS = [
    Case(family, "sequence-classification", {"num_labels": count, "problem_type": problem}, name=f"{family}-{problem}")
    for family in FAMILIES
    for count, problem in (
        (7, "single_label_classification"),
        (5, "multi_label_classification"),
        (1, "regression"),
    )
]


@pytest.mark.parametrize("case", [*MATRIX, *LABELS, *VARIATIONS], ids=str)
def test_graph_computes_what_transformers_computes(
    case: Case, checkpoint: Callable[[Case], Path], tmp_path: Path
) -> None:
    directory = checkpoint(case)
    recipe = open_recipe(directory, case.task)
    session = session_of(recipe, FP32, tmp_path)
    model = reference(case, directory)
    seen: list[NDArray[np.float32]] = []
    for feeds in batches(recipe.max_tokens, recipe.inputs):
        with torch.inference_mode():
            expected = model(**{name: torch.from_numpy(ids) for name, ids in feeds.items()})
        got = run(session, feeds)
        got.pop("sentence_embedding", None)
        assert got
        for name, values in got.items():
            real = on_real_positions(getattr(expected, name).numpy(), feeds["attention_mask"])
            error = np.abs(on_real_positions(values, feeds["attention_mask"]) - real).max() / np.abs(real).max()
            seen.append(real.reshape(-1))
            assert error <= TOLERANCE, f"{name} {feeds['input_ids'].shape}: {error:.1e} of the scale"
    assert np.std(np.concatenate(seen)) > 1e-2, "a reference that answers the same to everything proves nothing"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_text_longer_than_the_model_is_an_error_and_not_an_answer(
    family: str, checkpoint: Callable[[Case], Path], tmp_path: Path
) -> None:
    case = Case(family, "encoder", {"num_labels": 2})
    recipe = open_recipe(checkpoint(case), case.task)
    session = session_of(recipe, FP32, tmp_path)
    for excess in (1, 2, 3, recipe.max_tokens):
        # The padding token in the middle would let fairseq's positions fit one token more.
        feeds = batch((recipe.max_tokens + excess,), recipe.inputs)
        feeds["input_ids"][feeds["input_ids"] == PAD] = PAD + 1
        with pytest.raises((state.Fail, state.InvalidArgument, state.RuntimeException)):
            run(session, feeds)
