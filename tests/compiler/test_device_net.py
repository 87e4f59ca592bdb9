"""Graphs for a card: the answers of the processor's graphs, and the operators that the card fuses, counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from layers.compiler.device_variants import BF16, FP16, FP32_CUDA, INT4
from layers.compiler.generative_recipe import GenerativeRecipe
from layers.compiler.generative_session import GenerativeSession, open_graph
from layers.compiler.net import count_operators
from layers.compiler.plan import FP32, Plan
from layers.compiler.recipe import Recipe, open_recipe, save
from tests.compiler.checkpoints import FAMILIES, Case
from tests.compiler.generators import SIZES, Writer
from tests.compiler.graphs import run, session_of

LAYERS = 5
MASK = np.array([[1] * 11, [1] * 7 + [0] * 4])
IDS = np.random.default_rng(0).integers(5, 60, MASK.shape)
# The numbers of a card on a processor: its operators in float32.
WIDE = replace(FP32_CUDA, name="wide")
POST_NORM = {
    **{"Attention": LAYERS, "SkipLayerNormalization": 2 * LAYERS, "BiasGelu": LAYERS},
    **{"EmbedLayerNormalization": 1, "LayerNormalization": 0},
}
EXPECTED = {
    **dict.fromkeys(FAMILIES, POST_NORM),
    "albert": {**POST_NORM, "BiasGelu": 0, "FastGelu": LAYERS},
    # Scores by content and position need queries and keys themselves.
    "deberta-v2": {
        **{**POST_NORM, "Attention": 0, "MultiHeadAttention": LAYERS},
        **{"EmbedLayerNormalization": 0, "LayerNormalization": 1},  # words alone
    },
    # Rotary positions turn queries and keys first, and the gate is multiplied in between.
    "modernbert": {"MultiHeadAttention": LAYERS, "SkipLayerNormalization": 2 * LAYERS, "LayerNormalization": 1},
}
# A decoder of four layers: the first norm and what the last layer does for the wanted tokens alone stay apart.
DECODER = {"GroupQueryAttention": 4, "SkipLayerNormalization": 7, "LayerNormalization": 2, "FastGelu": 4, "MatMul": 16}
ROOT_MEAN_SQUARE = {"GroupQueryAttention": 4, "SkipSimplifiedLayerNormalization": 7, "MatMul": 20}
EXPECTED_OF_WRITERS = {
    "gpt2": DECODER,
    "bloom": {**DECODER, "LayerNormalization": 3},
    "llama": ROOT_MEAN_SQUARE,
    "qwen2": ROOT_MEAN_SQUARE,
    "qwen3": ROOT_MEAN_SQUARE,
}


def encoded(recipe: Recipe, plan: Plan, directory: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    feeds = {"input_ids": IDS, "attention_mask": MASK, "token_type_ids": np.zeros_like(IDS)}
    session = session_of(recipe, plan, directory)
    return run(session, {name: feeds[name] for name in recipe.inputs})["last_hidden_state"][MASK.astype(bool)]


@pytest.mark.parametrize("family", FAMILIES)
def test_an_encoder_answers_as_on_a_processor(family: str, checkpoint: Callable[[Case], Path], tmp_path: Path) -> None:
    recipe = open_recipe(checkpoint(Case(family, "encoder", {"num_labels": 2})), "feature-extraction")
    assert isinstance(recipe, Recipe)
    exact = encoded(recipe, FP32, tmp_path)
    np.testing.assert_allclose(encoded(recipe, WIDE, tmp_path), exact, atol=1e-5)
    found = count_operators(recipe.write(FP16)[0])
    assert {name: found.get(name, 0) for name in EXPECTED[family]} == EXPECTED[family]


@pytest.mark.parametrize("family", SIZES)
def test_a_writer_writes_as_on_a_processor(family: str, generator: Callable[[Writer], Path], tmp_path: Path) -> None:
    case = Writer(family)
    recipe = open_recipe(generator(case), case.task)
    assert isinstance(recipe, GenerativeRecipe)
    exact = written(recipe, FP32, tmp_path)
    np.testing.assert_allclose(written(recipe, WIDE, tmp_path), exact, atol=2e-5 * float(np.abs(exact).max()))
    found = count_operators(recipe.write(FP16)[0])
    expected = EXPECTED_OF_WRITERS.get(family, {})
    assert {name: found.get(name, 0) for name in expected} == expected


def written(recipe: GenerativeRecipe, plan: Plan, directory: Path) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """Logits of a padded batch and of steps after it, then of a prompt in two parts, one after the other."""
    files: dict[str, str] = {}
    for part, (model, _) in recipe.graphs(plan).items():
        files[part], _ = save(model, directory, plan.name, part, beside=files.get("model"))
    graphs = {part: open_graph(directory / file, 1) for part, file in files.items()}
    session = GenerativeSession(recipe.cache, graphs["model"], graphs.get("encoder"))
    sources = session.encode([np.arange(5, 14), np.arange(9, 14)]) if session.encoder else None
    batch = session.begin(2, 24, sources)
    logits = [batch.feed([np.arange(5, 12), np.arange(8, 12)])]
    logits += [batch.feed([np.array([9]), np.array([11])]) for _ in range(3)]
    alone = session.begin(1, 24, session.encode([np.arange(5, 12)]) if session.encoder else None)
    logits += [alone.feed([np.arange(5, 12)], np.arange(7)[None]), alone.feed([np.arange(9, 12)])]
    return np.concatenate([part.ravel() for part in logits])


def test_sums_that_nobody_reads_are_not_written(
    checkpoint: Callable[[Case], Path], generator: Callable[[Writer], Path]
) -> None:
    """A norm after a sum needs no sum; one before a layer passes it on, and nothing else."""
    encoder = open_recipe(checkpoint(Case("bert", "encoder", {"num_labels": 2})), "feature-extraction")
    decoder = open_recipe(generator(Writer("gpt2")), "text-generation")
    for recipe, written in ((encoder, ["normed"]), (decoder, ["normed", "", "", "sum"])):
        graph = recipe.graphs(FP16)["model"][0].graph
        norms = [node for node in graph if node.op_type == "SkipLayerNormalization"]
        named = [[str(value.name).rpartition(".")[2] for value in node.outputs] for node in norms]
        assert named[:-1] == [written] * (len(norms) - 1)


def test_embeddings_in_numbers_that_the_operator_has_not(checkpoint: Callable[[Case], Path]) -> None:
    recipe = open_recipe(checkpoint(Case("bert", "encoder", {"num_labels": 2})), "feature-extraction")
    assert isinstance(recipe, Recipe)
    for plan in (BF16, BF16.emulated):
        assert "EmbedLayerNormalization" not in count_operators(recipe.write(plan)[0])


def test_numbers_of_a_variant(checkpoint: Callable[[Case], Path]) -> None:
    """Weights and hidden states are the plan's; what callers send and get is not."""
    recipe = open_recipe(checkpoint(Case("bert", "encoder", {"num_labels": 2})), "feature-extraction")
    assert isinstance(recipe, Recipe)
    for plan, stored in ((FP16, ir.DataType.FLOAT16), (BF16, ir.DataType.BFLOAT16)):
        model, net = recipe.write(plan)
        weights = {value.dtype for value in model.graph.initializers.values()} - {ir.DataType.INT64}
        assert weights == {stored}
        assert {value.dtype for value in model.graph.outputs} == {ir.DataType.FLOAT}
        kept = recipe.write(plan.keeping(frozenset(["bert.encoder.layer.0.output.dense"])))[0]
        exact = [name for name, value in kept.graph.initializers.items() if value.dtype == ir.DataType.FLOAT]
        assert sorted(exact) == [f"bert.encoder.layer.0.output.dense.{part}" for part in ("bias.fp32", "weight.T.fp32")]
        assert set(net.sites) == set(recipe.write(FP32)[1].sites)


def test_a_stand_in_has_no_value_that_the_card_would_not_have(
    checkpoint: Callable[[Case], Path], tmp_path: Path
) -> None:
    recipe = open_recipe(checkpoint(Case("bert", "encoder", {"num_labels": 2})), "feature-extraction")
    assert isinstance(recipe, Recipe)
    exact = encoded(recipe, FP32, tmp_path)
    moved = {}
    for plan, narrow in ((FP16, np.float16), (BF16, None)):
        answer = encoded(recipe, plan.emulated, tmp_path)
        moved[plan.name] = float(np.abs(answer - exact).max())
        if narrow:
            np.testing.assert_array_equal(answer.astype(narrow).astype(np.float32), answer)
    assert 0 < moved["fp16"] < 0.02 < moved["bf16"] < 0.2


def test_four_bit_weights_of_a_card(generator: Callable[[Writer], Path]) -> None:
    """Scales are the plan's numbers too; the product after the feed-forward, whose width no block divides, is whole."""
    wide = {"hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16}
    recipe = open_recipe(generator(Writer("llama", "wide", wide)), "text-generation")
    model = recipe.graphs(INT4)["model"][0]
    found = count_operators(model)
    assert (found["MatMulNBits"], found["MatMul"]) == (4 * 4, 4)
    scales = {value.dtype for name, value in model.graph.initializers.items() if name.endswith(".scale")}
    assert scales == {ir.DataType.FLOAT16}
