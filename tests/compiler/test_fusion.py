"""Fusion is a fact: the operators of each family's graph, counted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from layers.compiler.net import count_operators
from layers.compiler.plan import FP32
from layers.compiler.recipe import open_recipe
from tests.compiler.checkpoints import FAMILIES, SIZES, Case

LAYERS = 5
# What a bare encoder of five layers has beside one MultiHeadAttention a layer.
# FusedMatMul: four projections of attention and two of the feed-forward.
POST_NORM = {"LayerNormalization": 2 * LAYERS + 1, "BiasGelu": LAYERS, "FusedMatMul": 6 * LAYERS}
FACTORED = {**POST_NORM, "FusedMatMul": 6 * LAYERS + 1}
EXPECTED = {
    "bert": POST_NORM,
    "distilbert": POST_NORM,
    "electra": FACTORED,
    "roberta": POST_NORM,
    "xlm-roberta": POST_NORM,
    "camembert": POST_NORM,
    # The relative bias is laid out once, not per layer.
    "mpnet": {**POST_NORM, "Expand": 1},
    # gelu_new: the tanh form has no fused bias.
    "albert": {**FACTORED, "BiasGelu": 0, "Gelu": LAYERS},
    # c2p and p2c: one product, one gather of rows and one layout by pairs each; their tables are weights.
    "deberta-v2": {**POST_NORM, "FusedMatMul": (6 + 2) * LAYERS, "Gather": 2 * LAYERS + 1, "GatherElements": 0},
    # The first layer's norm is the embeddings'; the window is laid out once; the gate is the seventh projection.
    "modernbert": {
        "LayerNormalization": 2 * LAYERS + 1,
        "RotaryEmbedding": 2 * LAYERS,
        "Gelu": LAYERS,
        "FusedMatMul": 7 * LAYERS,
        "Expand": 1,
    },
}
# What an exported graph spells these with; none is left of them.
UNFUSED = ("Softmax", "Erf", "Pow", "ReduceMean", "SkipLayerNormalization", "Split", "If", "Loop")


@pytest.mark.parametrize("family", FAMILIES)
def test_operators_of_a_bare_encoder(family: str, checkpoint: Callable[[Case], Path]) -> None:
    recipe = open_recipe(checkpoint(Case(family, "encoder", {"num_labels": 2})), "feature-extraction")
    found = count_operators(recipe.write(FP32)[0])
    expected = {"MultiHeadAttention": LAYERS, **EXPECTED[family], **dict.fromkeys(UNFUSED, 0)}
    assert {name: found.get(name, 0) for name in expected} == expected


@pytest.mark.parametrize("family", FAMILIES)
def test_sites_cover_every_matrix(family: str, checkpoint: Callable[[Case], Path]) -> None:
    """Quantization reaches every matrix of the checkpoint that multiplies activations."""
    recipe = open_recipe(checkpoint(Case(family, "masked-lm", {"num_labels": 2})), "fill-mask")
    net = recipe.write(FP32)[1]
    tables = ("embeddings", "relative_attention_bias", "rel_embeddings")
    matrices = {
        name
        for name in net.checkpoint.tensors
        if len(net.checkpoint.shape(name)) == 2 and not any(part in name for part in tables) and "pooler" not in name
    }
    keys = {site.key.split("[")[0] for site in net.sites.values()}
    assert matrices <= keys
    assert keys - matrices <= {name for name in net.checkpoint.tensors if name.endswith("_embeddings.weight")} | {
        "electra.embeddings_project.weight"
    }
    assert len({site.name for site in net.sites.values()}) == len(net.sites)


def test_layers_are_as_many_as_the_sizes_say() -> None:
    assert {sizes.get("num_hidden_layers", sizes.get("n_layers")) for sizes in SIZES.values()} == {LAYERS}
