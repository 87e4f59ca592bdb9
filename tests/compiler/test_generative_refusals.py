"""Configurations that no graph here computes are refused by name, before anything is written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file, save_file
from transformers import AutoTokenizer

from layers.compiler.generation_info import describe_generation
from layers.compiler.generative_recipe import GenerativeRecipe
from layers.compiler.plan import FP32
from layers.compiler.recipe import open_recipe
from layers.errors import CheckpointError, UnsupportedError
from layers.generation import Generation
from tests.compiler.generators import Writer
from tests.compiler.seq2seq_variations import TWO_VOCABULARIES

SUMMARIZER = Path(__file__).resolve().parents[2] / "examples/models/debian-summarizer"
ROPE = {"rope_theta": 500.0}
LONGROPE = {"rope_type": "longrope", "short_factor": [1.0] * 6, "long_factor": [2.0] * 6, "factor": 2.0, **ROPE}


@pytest.mark.parametrize(
    ("case", "said"),
    [
        (Writer("gpt2", "crossed", {"add_cross_attention": True}), "add_cross_attention.*got True, expected False"),
        (
            Writer("llama", "dynamic", {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, **ROPE}}),
            "rope_type.*got 'dynamic', expected one of default, linear, llama3, yarn",
        ),
        (
            Writer("phi3", "longrope", {"rope_parameters": LONGROPE, "original_max_position_embeddings": 31}),
            "rope_type.*got 'longrope'",
        ),
        (Writer("gemma", "both-ways", {"use_bidirectional_attention": True}), "use_bidirectional_attention.*got True"),
        (Writer("gpt2", "odd", {"activation_function": "mish"}), "activation.*got 'mish'"),
    ],
    ids=str,
)
def test_options_that_are_not_written(case: Writer, said: str, generator: Callable[[Writer], Path]) -> None:
    with pytest.raises(UnsupportedError, match=said):
        open_recipe(generator(case), case.task).graphs(FP32)


def altered(directory: Path, copy: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """The checkpoint with its tensors changed."""
    copy.mkdir()
    (copy / "config.json").write_text((directory / "config.json").read_text(encoding="utf-8"), encoding="utf-8")
    tensors = dict(load_file(directory / "model.safetensors"))
    change(tensors)
    save_file(tensors, copy / "model.safetensors")
    return copy


@pytest.mark.parametrize("family", ["gpt2", "llama", "t5", "bart"])
def test_a_tensor_that_nobody_reads(family: str, generator: Callable[[Writer], Path], tmp_path: Path) -> None:
    def add(tensors: dict[str, Any]) -> None:
        tensors["decoder.extra.weight"] = next(iter(tensors.values())).copy()

    directory = altered(generator(Writer(family)), tmp_path / "copy", add)
    with pytest.raises(CheckpointError, match=r"first 'decoder\.extra\.weight'"):
        open_recipe(directory, Writer(family).task).graphs(FP32)


@pytest.mark.parametrize(
    ("family", "name"),
    [
        ("gpt2", "transformer.h.1.attn.c_attn.weight"),
        ("llama", "model.layers.2.mlp.up_proj.weight"),
        ("t5", "decoder.block.1.layer.1.EncDecAttention.k.weight"),
        ("bart", "model.encoder.layers.0.fc1.bias"),
    ],
)
def test_a_tensor_that_is_missing(family: str, name: str, generator: Callable[[Writer], Path], tmp_path: Path) -> None:
    directory = altered(generator(Writer(family)), tmp_path / "copy", lambda tensors: tensors.pop(name))
    with pytest.raises(CheckpointError, match=f"no tensor '{name}'"):
        open_recipe(directory, Writer(family).task).graphs(FP32)


def test_a_checkpoint_without_its_prefix_is_the_same_graph(generator: Callable[[Writer], Path], tmp_path: Path) -> None:
    """GPT-2's own checkpoints name no base model, and carry its masks."""
    directory = generator(Writer("gpt2"))

    def rename(tensors: dict[str, Any]) -> None:
        for name in list(tensors):
            tensors[name.removeprefix("transformer.")] = tensors.pop(name)
        tensors["h.0.attn.bias"] = tensors["h.0.ln_1.bias"].copy()

    bare = open_recipe(altered(directory, tmp_path / "bare", rename), "text-generation")
    names = {site.name for site in open_recipe(directory, "text-generation").graphs(FP32)["model"][1].sites.values()}
    assert {site.name for site in bare.graphs(FP32)["model"][1].sites.values()} == names
    assert json.loads((directory / "config.json").read_text(encoding="utf-8"))["model_type"] == "gpt2"


def stating(directory: Path, **settings: Any) -> Generation:
    """What is written of a checkpoint whose generation_config.json states these too."""
    shutil.copytree(SUMMARIZER, directory)
    path = directory / "generation_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **settings}), encoding="utf-8")
    recipe = open_recipe(directory, "summarization")
    assert isinstance(recipe, GenerativeRecipe)
    return describe_generation(recipe, AutoTokenizer.from_pretrained(directory), None)


def test_what_generation_config_states_is_followed(tmp_path: Path) -> None:
    """Marian's checkpoints forbid their padding token and count the others' probabilities without it."""
    settings = {"bad_words_ids": [[0]], "renormalize_logits": True, "min_new_tokens": 3, "num_beams": 4}
    defaults = stating(tmp_path / "model", **settings).defaults
    assert (defaults.bad_words_ids, defaults.renormalize_logits) == (((0,),), True)
    assert (defaults.min_new_tokens, defaults.num_beams) == (3, 4)


@pytest.mark.parametrize(
    ("name", "value"),
    [("encoder_no_repeat_ngram_size", 3), ("stop_strings", ["."]), ("exponential_decay_length_penalty", [5, 1.1])],
)
def test_what_no_loop_follows_is_refused_and_not_left_out(name: str, value: Any, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match=rf"^{name} of generation_config\.json, for model .*: got .*, expected"):
        stating(tmp_path / "model", **{name: value})


@pytest.mark.parametrize("shared", [False, True])
def test_the_vocabulary_is_the_decoders(shared: bool, generator: Callable[[Writer], Path]) -> None:
    """Marian's decoder may have one of its own; what a shared one is said to be is not looked at."""
    options = {} if shared else {**TWO_VOCABULARIES, "tie_word_embeddings": False}
    case = Writer("marian", f"vocabulary-{'shared' if shared else 'own'}", options)
    directory = generator(case)
    recipe = open_recipe(directory, case.task)
    assert isinstance(recipe, GenerativeRecipe)
    generation = describe_generation(recipe, AutoTokenizer.from_pretrained(SUMMARIZER), None)
    assert generation.vocabulary == load_file(directory / "model.safetensors")["final_logits_bias"].shape[-1]


def test_settings_that_ask_for_nothing_are_no_reason_to_refuse(tmp_path: Path) -> None:
    stating(tmp_path / "model", encoder_no_repeat_ngram_size=0, guidance_scale=1.0, stop_strings=[], num_beam_groups=1)
