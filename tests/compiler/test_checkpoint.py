"""Checkpoints: what is refused, and that what is read is what was saved."""

from __future__ import annotations

import json
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from layers.compiler.checkpoint import open_checkpoint, read_config
from layers.errors import CheckpointError


def write(directory: Path, tensors: dict[str, torch.Tensor], file: str = "model.safetensors") -> Path:
    directory.mkdir(exist_ok=True)
    (directory / "config.json").write_text(json.dumps({"model_type": "bert"}))
    save_file(tensors, directory / file)
    return directory


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_floats_are_read_as_float32(tmp_path: Path, dtype: torch.dtype) -> None:
    tensor = torch.randn(3, 5, dtype=torch.float64).to(dtype)
    found = open_checkpoint(write(tmp_path, {"bert.x": tensor}), "bert").read("bert.x")
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, tensor.to(torch.float32).numpy())


def test_bfloat16_is_told_from_integers() -> None:
    assert np.dtype(ml_dtypes.bfloat16).kind not in "iub"


def test_a_bare_encoder_is_given_its_prefix(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(write(tmp_path, {"encoder.x": torch.zeros(2)}), "bert")
    assert "bert.encoder.x" in checkpoint


def test_old_names_of_norms_are_renamed(tmp_path: Path) -> None:
    tensors = {"bert.LayerNorm.gamma": torch.ones(2), "bert.LayerNorm.beta": torch.zeros(2)}
    checkpoint = open_checkpoint(write(tmp_path, tensors), "bert")
    assert {"bert.LayerNorm.weight", "bert.LayerNorm.bias"} == set(checkpoint.tensors)
    assert checkpoint.unused() == ["bert.LayerNorm.beta", "bert.LayerNorm.gamma"]


def test_shards_are_one_checkpoint(tmp_path: Path) -> None:
    write(tmp_path, {"bert.a": torch.ones(2)}, "model-00001-of-00002.safetensors")
    write(tmp_path, {"bert.b": torch.ones(3)}, "model-00002-of-00002.safetensors")
    weight_map = {f"bert.{x}": f"model-0000{n}-of-00002.safetensors" for x, n in (("a", 1), ("b", 2))}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    assert open_checkpoint(tmp_path, "bert").shape("bert.b") == (3,)
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(CheckpointError, match="model-00002-of-00002.safetensors, which is missing"):
        open_checkpoint(tmp_path, "bert")


def test_a_shard_outside_the_checkpoint_is_refused(tmp_path: Path) -> None:
    write(tmp_path, {}, "other.safetensors")
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "../../secret.safetensors"}}))
    with pytest.raises(CheckpointError, match="outside the checkpoint"):
        open_checkpoint(tmp_path, "bert")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "tf_model.h5", "flax_model.msgpack"])
def test_pickles_are_refused_by_name(tmp_path: Path, name: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    (tmp_path / name).write_bytes(b"never opened")
    with pytest.raises(CheckpointError, match=name):
        open_checkpoint(tmp_path, "bert")


def test_a_file_cut_short_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, {"bert.x": torch.zeros(100)}) / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(CheckpointError, match=r"bert\.x ends at byte \d+ of \d+"):
        open_checkpoint(tmp_path, "bert")


def test_a_missing_tensor_says_which(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(write(tmp_path, {"bert.x": torch.zeros(1)}), "bert")
    with pytest.raises(CheckpointError, match="no tensor 'classifier.weight'"):
        checkpoint.read("classifier.weight")


@pytest.mark.parametrize(("content", "said"), [(None, "no config.json"), ("{", "not JSON"), ("{}", "no model_type")])
def test_a_config_that_says_nothing(tmp_path: Path, content: str | None, said: str) -> None:
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(CheckpointError, match=said):
        read_config(tmp_path)
