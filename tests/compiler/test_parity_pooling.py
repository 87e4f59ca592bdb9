"""Pooling inside the graph, as sentence-transformers defines each mode, over a real encoder's hidden states."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from layers.compiler.plan import FP32
from layers.compiler.recipe import open_recipe
from layers.errors import CheckpointError, UnsupportedError
from tests.compiler.checkpoints import Case, reference
from tests.compiler.graphs import run, session_of
from tests.compiler.test_parity import TOLERANCE
from tests.compiler.texts import batches

FAMILIES = ("bert", "mpnet", "modernbert")
DIMENSION = 23


def cls(states: torch.Tensor, _mask: torch.Tensor) -> torch.Tensor:
    return states[:, 0]


def largest(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return states.masked_fill(mask[..., None] == 0, -1e9).max(1).values


def mean(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)


def mean_sqrt(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True).sqrt()


def weighted_mean(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    weights = mask * torch.arange(1, mask.shape[1] + 1)
    return (states * weights[..., None]).sum(1) / weights.sum(1, keepdim=True)


def last_token(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return states[torch.arange(len(states)), mask.sum(1).long() - 1]


MODES: Mapping[str, tuple[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]]] = {
    "cls": ("pooling_mode_cls_token", cls),
    "max": ("pooling_mode_max_tokens", largest),
    "mean": ("pooling_mode_mean_tokens", mean),
    "mean_sqrt": ("pooling_mode_mean_sqrt_len_tokens", mean_sqrt),
    "weighted_mean": ("pooling_mode_weightedmean_tokens", weighted_mean),
    "last_token": ("pooling_mode_lasttoken", last_token),
}


def sentence_checkpoint(source: Path, directory: Path, pooling: dict[str, Any], *more: str) -> Path:
    """A copy of the checkpoint with modules.json: Transformer, Pooling, and what else is named."""
    shutil.copytree(source, directory)
    kinds = ("Transformer", "Pooling", *more)
    modules = [
        {
            "idx": at,
            "name": str(at),
            "path": f"{at}_{kind}" if at else "",
            "type": f"sentence_transformers.models.{kind}",
        }
        for at, kind in enumerate(kinds)
    ]
    (directory / "modules.json").write_text(json.dumps(modules))
    (directory / "1_Pooling").mkdir()
    (directory / "1_Pooling/config.json").write_text(json.dumps({"word_embedding_dimension": 36, **pooling}))
    return directory


def add_dense(directory: Path, activation: str, *, bias: bool = True) -> torch.nn.Linear:
    """Fill 2_Dense with random weights and its configuration."""
    torch.manual_seed(0)
    layer = torch.nn.Linear(36, DIMENSION, bias=bias)
    folder = directory / "2_Dense"
    folder.mkdir()
    config = {"in_features": 36, "out_features": DIMENSION, "bias": bias, "activation_function": activation}
    (folder / "config.json").write_text(json.dumps(config))
    save_file({f"linear.{name}": value for name, value in layer.state_dict().items()}, folder / "model.safetensors")
    return layer


def assert_pooled(case: Case, directory: Path, expected: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> None:
    recipe = open_recipe(directory, case.task)
    session = session_of(recipe, FP32, directory / "graph")
    model = reference(case, directory)
    for feeds in batches(recipe.max_tokens, recipe.inputs):
        with torch.inference_mode():
            tensors = {name: torch.from_numpy(ids) for name, ids in feeds.items()}
            states = model(**tensors).last_hidden_state
            real = expected(states, tensors["attention_mask"].float()).numpy()
        got = run(session, feeds)["sentence_embedding"]
        assert np.abs(got - real).max() <= TOLERANCE * np.abs(real).max()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("family", FAMILIES)
def test_modes(family: str, mode: str, checkpoint: Callable[[Case], Path], tmp_path: Path) -> None:
    case = Case(family, "encoder", {"num_labels": 2})
    flag, expected = MODES[mode]
    assert_pooled(case, sentence_checkpoint(checkpoint(case), tmp_path / "model", {flag: True}), expected)


@pytest.mark.parametrize(
    ("activation", "function"),
    [
        ("torch.nn.modules.activation.Tanh", torch.tanh),
        ("torch.nn.modules.linear.Identity", torch.nn.Identity()),
        ("torch.nn.modules.activation.ReLU", torch.relu),
        ("torch.nn.modules.activation.GELU", torch.nn.functional.gelu),
    ],
)
@pytest.mark.parametrize("bias", [True, False])
def test_a_dense_layer_follows(
    activation: str,
    function: Callable[[torch.Tensor], torch.Tensor],
    bias: bool,
    checkpoint: Callable[[Case], Path],
    tmp_path: Path,
) -> None:
    case = Case("bert", "encoder", {"num_labels": 2})
    pooling = {"pooling_mode_mean_tokens": True}
    directory = sentence_checkpoint(checkpoint(case), tmp_path / "model", pooling, "Dense", "Normalize")
    layer = add_dense(directory, activation, bias=bias)
    assert_pooled(case, directory, lambda states, mask: function(layer(mean(states, mask))))
    modules = open_recipe(directory, case.task).modules
    assert modules is not None
    assert modules.pooling.normalize
    assert modules.pooling.dimension == DIMENSION


@pytest.mark.parametrize(
    ("pooling", "more", "message"),
    [
        ({"pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": True}, (), "exactly one of cls, mean"),
        ({"pooling_mode_mean_tokens": True, "include_prompt": False}, (), "include_prompt"),
        ({"pooling_mode_mean_tokens": True}, ("Normalize", "Dense"), "in this order"),
        ({"pooling_mode_mean_tokens": True}, ("Pooling",), "in this order"),
        ({"pooling_mode_mean_tokens": True}, ("WordWeights",), "WordWeights"),
    ],
)
def test_what_no_form_covers_is_refused(
    pooling: dict[str, Any],
    more: tuple[str, ...],
    message: str,
    checkpoint: Callable[[Case], Path],
    tmp_path: Path,
) -> None:
    case = Case("bert", "encoder", {"num_labels": 2})
    directory = sentence_checkpoint(checkpoint(case), tmp_path / "model", pooling, *more)
    with pytest.raises(UnsupportedError, match=message):
        open_recipe(directory, case.task)


def test_a_default_prompt_that_is_not_there(checkpoint: Callable[[Case], Path], tmp_path: Path) -> None:
    """sentence-transformers does not open such a checkpoint; here every request would be refused."""
    case = Case("bert", "encoder", {"num_labels": 2})
    directory = sentence_checkpoint(checkpoint(case), tmp_path / "model", {"pooling_mode_mean_tokens": True})
    settings = {"prompts": {"query": "search: "}, "default_prompt_name": "passage"}
    (directory / "config_sentence_transformers.json").write_text(json.dumps(settings), encoding="utf-8")
    with pytest.raises(CheckpointError, match="default_prompt_name, for model: got 'passage', expected one of query"):
        open_recipe(directory, case.task)
