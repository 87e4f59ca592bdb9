"""Checkpoints as they are found: other names, other shards, too little, too much, or refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from layers.compiler.checkpoint import open_checkpoint
from layers.compiler.plan import FP32
from layers.compiler.recipe import open_recipe
from layers.errors import CheckpointError, UnsupportedError
from tests.compiler.checkpoints import Case, reference
from tests.compiler.graphs import run, session_of
from tests.compiler.test_parity import TOLERANCE
from tests.compiler.texts import batch

BERT = Case("bert", "masked-lm", {"num_labels": 2})
Tensors = dict[str, torch.Tensor]


@pytest.fixture
def altered(checkpoint: Callable[[Case], Path], tmp_path: Path) -> Callable[..., Path]:
    """A copy of a case's checkpoint whose tensors or configuration were changed."""

    def copy(case: Case, tensors: Callable[[Tensors], Tensors] | None = None, **config: Any) -> Path:
        directory = tmp_path / "altered"
        shutil.copytree(checkpoint(case), directory)
        file = directory / "model.safetensors"
        if tensors is not None:
            save_file(tensors(load_file(file)), file, metadata={"format": "pt"})
        settings = json.loads((directory / "config.json").read_text())
        (directory / "config.json").write_text(json.dumps({**settings, **config}))
        return directory

    return copy


def assert_parity(case: Case, directory: Path) -> None:
    recipe = open_recipe(directory, case.task)
    feeds = batch((5, 17), recipe.inputs)
    with torch.inference_mode():
        expected = reference(case, directory)(**{name: torch.from_numpy(ids) for name, ids in feeds.items()}).logits
    real = expected.numpy()[feeds["attention_mask"] == 1]
    got = run(session_of(recipe, FP32, directory / "graph"), feeds)["logits"][feeds["attention_mask"] == 1]
    assert np.abs(got - real).max() <= TOLERANCE * np.abs(real).max()


def test_gamma_and_beta_are_weight_and_bias(altered: Callable[..., Path]) -> None:
    def legacy(tensors: Tensors) -> Tensors:
        return {
            name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor
            for name, tensor in tensors.items()
        }

    assert_parity(BERT, altered(BERT, legacy))


def test_a_decoder_of_its_own_is_not_tied_whatever_the_configuration_says(altered: Callable[..., Path]) -> None:
    def with_decoder(tensors: Tensors) -> Tensors:
        words = tensors["bert.embeddings.word_embeddings.weight"]
        return {**tensors, "cls.predictions.decoder.weight": words.flip(0).contiguous()}

    assert_parity(BERT, altered(BERT, with_decoder))


def test_a_decoder_stored_twice_is_tied(altered: Callable[..., Path]) -> None:
    def with_copy(tensors: Tensors) -> Tensors:
        words = tensors["bert.embeddings.word_embeddings.weight"]
        return {
            **tensors,
            "cls.predictions.decoder.weight": words.clone(),
            "cls.predictions.decoder.bias": tensors["cls.predictions.bias"].clone(),
        }

    directory = altered(BERT, with_copy)
    assert_parity(BERT, directory)
    net = open_recipe(directory, BERT.task).write(FP32)[1]
    assert net.sites["cls.predictions.decoder"].key == "bert.embeddings.word_embeddings.weight"


def test_shards_are_read_as_one(checkpoint: Callable[[Case], Path]) -> None:
    case = Case("bert", "sequence-classification", max_shard_size="40KB", name="bert-sharded")
    assert len(open_checkpoint(checkpoint(case), "bert").weight_files) > 2


def test_a_missing_shard_is_named(checkpoint: Callable[[Case], Path], tmp_path: Path) -> None:
    case = Case("bert", "sequence-classification", max_shard_size="40KB", name="bert-sharded")
    directory = tmp_path / "model"
    shutil.copytree(checkpoint(case), directory)
    lost = sorted(directory.glob("model-*.safetensors"))[1]
    lost.unlink()
    with pytest.raises(CheckpointError, match=lost.name):
        open_recipe(directory, case.task)


@pytest.mark.parametrize(
    ("family", "task"),
    [
        ("bert", "text-classification"),
        ("mpnet", "token-classification"),
        ("deberta-v2", "fill-mask"),
        ("modernbert", "question-answering"),
    ],
)
def test_a_bare_checkpoint_has_no_head(family: str, task: str, checkpoint: Callable[[Case], Path]) -> None:
    recipe = open_recipe(checkpoint(Case(family, "encoder", {"num_labels": 2})), task)
    with pytest.raises(CheckpointError, match=r"no tensor .* saved for another head"):
        recipe.write(FP32)


def test_a_tensor_nobody_reads_is_an_error(altered: Callable[..., Path]) -> None:
    directory = altered(BERT, lambda tensors: {**tensors, "bert.encoder.layer.0.adapter.weight": torch.ones(3)})
    with pytest.raises(CheckpointError, match=r"bert\.encoder\.layer\.0\.adapter\.weight"):
        open_recipe(directory, BERT.task).write(FP32)


def test_more_layers_than_the_configuration_says_is_an_error(altered: Callable[..., Path]) -> None:
    with pytest.raises(CheckpointError, match=r"bert\.encoder\.layer\.4"):
        open_recipe(altered(BERT, num_hidden_layers=4), BERT.task).write(FP32)


@pytest.mark.parametrize("lost", ["bert.embeddings.LayerNorm.bias", "bert.encoder.layer.3.output.dense.bias"])
def test_a_missing_tensor_is_an_error_and_not_a_zero(lost: str, altered: Callable[..., Path]) -> None:
    directory = altered(BERT, lambda tensors: {name: tensor for name, tensor in tensors.items() if name != lost})
    with pytest.raises(CheckpointError, match=f"no tensor '{lost}'"):
        open_recipe(directory, BERT.task).write(FP32)


def test_a_pickle_is_refused_by_name(checkpoint: Callable[[Case], Path], tmp_path: Path) -> None:
    shutil.copy(checkpoint(BERT) / "config.json", tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x02.")
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin is not safetensors"):
        open_recipe(tmp_path, BERT.task)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("position_embedding_type", "relative_key"),
        ("position_embedding_type", "relative_key_query"),
        ("is_decoder", True),
        ("add_cross_attention", True),
        ("pruned_heads", {"0": [1]}),
        ("quantization_config", {"quant_method": "gptq", "bits": 4}),
    ],
)
def test_an_option_the_recipe_would_compute_wrongly_is_refused(
    option: str, value: object, altered: Callable[..., Path]
) -> None:
    with pytest.raises(UnsupportedError, match=rf"^{option}, for altered \(bert\): got .*, expected .*\. Choose"):
        open_recipe(altered(BERT, **{option: value}), BERT.task)


def test_an_unknown_activation_is_refused(altered: Callable[..., Path]) -> None:
    with pytest.raises(UnsupportedError, match=r"^activation, for altered \(bert\): got 'mish', expected gelu"):
        open_recipe(altered(BERT, hidden_act="mish"), BERT.task).write(FP32)


def test_rotary_scaling_is_refused(altered: Callable[..., Path]) -> None:
    case = Case("modernbert", "encoder", {"num_labels": 2})
    scaled = {"rope_type": "linear", "rope_theta": 10_000.0, "factor": 2.0}
    rope = {"full_attention": scaled, "sliding_attention": {"rope_type": "default", "rope_theta": 10_000.0}}
    with pytest.raises(UnsupportedError, match=r"^rope_type of full_attention, for altered .* got 'linear'"):
        open_recipe(altered(case, rope_parameters=rope), case.task).write(FP32)


def test_a_span_head_of_three_labels_is_refused(checkpoint: Callable[[Case], Path]) -> None:
    case = Case("bert", "question-answering", {"num_labels": 3}, name="bert-three-spans")
    with pytest.raises(UnsupportedError, match=r"labels of qa_outputs, for .* got 3, expected 2"):
        open_recipe(checkpoint(case), case.task).write(FP32)


def test_an_architecture_without_a_recipe_names_the_file_to_add(altered: Callable[..., Path]) -> None:
    with pytest.raises(UnsupportedError, match=r"'robert'.* Did you mean 'roberta'\?.*architectures/robert\.py"):
        open_recipe(altered(BERT, model_type="robert"), BERT.task)
