"""Every value of every axis: the graph has the operators it names, and answers what the default graph answers."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from layers.compiler.axes.registry import GRAPH_AXES
from layers.compiler.forms.embedding import Int8Embedding
from layers.compiler.forms.int8_row import Int8Row
from layers.compiler.forms.weight_only import WeightOnly
from layers.compiler.net import count_operators
from layers.compiler.operators import DEFAULT_OPERATORS, Axis
from layers.compiler.plan import FP32, Plan
from layers.compiler.recipe import open_recipe, save
from layers.errors import CatalogueError
from tests.compiler.checkpoints import Case
from tests.compiler.graphs import on_real_positions, open_graph, run
from tests.compiler.texts import batch

FAMILIES = ("bert", "albert", "deberta-v2")
ROW = Plan("int8-row", "int8", Int8Row(), Int8Embedding())
BLOCKED = Plan("int8-weights", "int8", WeightOnly(128), Int8Embedding())
# What an axis may move answers by, as a share of their scale: int8 rounds otherwise what differs in its last bits.
APPROXIMATE = 0.25
ROUNDING = {"fp32": 1e-4, "int8-row": 0.03, "int8-weights": 0.2}
# Blocks of 32 divide these, and of 128 do not.
SIZES = {"num_labels": 2, "hidden_size": 96, "intermediate_size": 96}
VALUES = [(axis, value) for axis in GRAPH_AXES for value in axis.values if value != axis.default]


def answers(family: str, plan: Plan, checkpoint: Callable[[Case], Path], directory: Path) -> tuple[Any, set[str], Any]:
    recipe = open_recipe(checkpoint(Case(family, "encoder", SIZES, name=f"{family}-wide")), "feature-extraction")
    model, net = recipe.write(plan)
    file, _ = save(model, directory, plan.name)
    feeds = batch((5, 11, 8), recipe.inputs)
    got = run(open_graph(directory / file), feeds)["last_hidden_state"]
    return on_real_positions(got, feeds["attention_mask"]), net.asked, count_operators(model)


@pytest.fixture(scope="module")
def defaults(
    checkpoint: Callable[[Case], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, Plan], tuple[Any, set[str]]]:
    """What a plan with default operators answers, and which axes it asked for; each is run once."""
    directory = tmp_path_factory.mktemp("defaults")

    @functools.cache
    def run_once(family: str, plan: Plan) -> tuple[Any, set[str]]:
        return answers(family, plan, checkpoint, directory)[:2]

    return run_once


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("axis", "value"), VALUES, ids=lambda part: part if isinstance(part, str) else part.name)
def test_a_value_answers_as_the_default_does(
    family: str,
    axis: Axis[Any],
    value: str,
    defaults: Callable[[str, Plan], tuple[Any, set[str]]],
    checkpoint: Callable[[Case], Path],
    tmp_path: Path,
) -> None:
    for plan in (FP32, ROW, BLOCKED):
        expected, asked = defaults(family, plan)
        if axis.name not in asked:
            continue
        other = plan.made_of(DEFAULT_OPERATORS.having(axis, value))
        got, _, _ = answers(family, other, checkpoint, tmp_path)
        coarse = value in axis.approximate or axis.name == "embeddings"
        bound = APPROXIMATE if coarse else ROUNDING[plan.name]
        assert np.abs(got - expected).max() <= bound * np.abs(expected).max(), plan.name


@pytest.mark.parametrize(
    ("axis", "value", "plan", "operators"),
    [
        ("attention", "products", FP32, {"MultiHeadAttention": 0, "Softmax": 5}),
        ("attention", "fused-with-biases", ROW, {"MultiHeadAttention": 5, "Add": 2 + 2 * 5 + 2 * 5}),
        ("normalization", "skip", ROW, {"SkipLayerNormalization": 10, "LayerNormalization": 1, "Add": 2 + 3 * 5}),
        ("projections", "side-by-side", ROW, {"MatMulIntegerToFloat": 4 * 5, "Split": 5}),
        ("row-ranges", "absolutes", ROW, {"Abs": 4 * 5, "ReduceMin": 0}),
        ("gelu", "tanh", FP32, {"FastGelu": 5, "BiasGelu": 0}),
        ("gelu", "sigmoid", ROW, {"QuickGelu": 5, "BiasGelu": 0}),
        ("embeddings", "fp32", ROW, {"Cast": 2, "Mul": 6 * 5}),
        ("blocks", "32", BLOCKED, {"MatMulNBits": 6 * 5}),
    ],
)
def test_a_value_is_made_of_its_operators(
    axis: str, value: str, plan: Plan, operators: dict[str, int], checkpoint: Callable[[Case], Path], tmp_path: Path
) -> None:
    [chosen] = [each for each in GRAPH_AXES if each.name == axis]
    _, _, found = answers("bert", plan.made_of(DEFAULT_OPERATORS.having(chosen, value)), checkpoint, tmp_path)
    assert {name: found.get(name, 0) for name in operators} == operators


def test_a_value_that_an_axis_has_not_is_named() -> None:
    axis = GRAPH_AXES[0]
    with pytest.raises(CatalogueError, match="attention: got 'none', expected one of fused"):
        DEFAULT_OPERATORS.having(axis, "none").of(axis)
