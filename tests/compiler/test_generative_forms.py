"""Every quantized form over every family that writes: it builds, it runs, and what it answers is still the answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from layers.compiler.forms.embedding import BlockEmbedding, Int8Embedding
from layers.compiler.forms.int8_dynamic import Int8Dynamic
from layers.compiler.forms.int8_row import Int8Row
from layers.compiler.forms.weight_only import WeightOnly
from layers.compiler.generative_recipe import GenerativeRecipe
from layers.compiler.net import count_operators
from layers.compiler.plan import FP32, Plan
from layers.compiler.recipe import open_recipe
from layers.compiler.variants import EXACT_ON
from layers.runtime.cpu import instruction_set
from tests.compiler.cached_decoder import CachedDecoder
from tests.compiler.generators import LLAMA_SIZES, SIZES, Writer, prompt
from tests.compiler.graphs import run, sessions_of

# Sizes that blocks of 16 divide, or the weight-only forms would leave every site in fp32.
BLOCK = 16
DIVISIBLE: dict[str, dict[str, Any]] = {
    "gpt2": {"n_embd": 48, "n_inner": 64},
    "gpt_neo": {"hidden_size": 48, "intermediate_size": 64},
    "opt": {"hidden_size": 48, "ffn_dim": 64},
    "bloom": {"hidden_size": 48},
    **{family: {"d_model": 48, "d_kv": 16, "d_ff": 64} for family in ("t5", "mt5")},
    **{
        family: {"d_model": 48, "encoder_attention_heads": 3, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64}
        for family in ("bart", "mbart", "marian", "pegasus", "m2m_100")
    },
}
BLOCKS = BlockEmbedding(WeightOnly(BLOCK))
LLAMA_DIVISIBLE = {"hidden_size": 48, "intermediate_size": 64}
ROW = Plan("row", "int8", Int8Row(), BLOCKS, EXACT_ON[8], vocabulary=WeightOnly(BLOCK))
SEVEN = replace(ROW, name="row-7bit", linear=Int8Row(7), exact_on=EXACT_ON[7])
PLANS = [
    (ROW, "MatMulIntegerToFloat"),
    (SEVEN, "MatMulIntegerToFloat"),
    (Plan("dynamic", "int8", Int8Dynamic(), Int8Embedding(), EXACT_ON[8]), "DynamicQuantizeMatMul"),
    (Plan("dynamic-7bit", "int8", Int8Dynamic(7), Int8Embedding(), EXACT_ON[7]), "DynamicQuantizeMatMul"),
    (Plan("eight", "int8", WeightOnly(BLOCK), BLOCKS), "MatMulNBits"),
]
# Weights of 8 bits saturate on a processor without VNNI, and no build offers them there.
HERE = instruction_set()
# Mean cosine of a token's logits to those of fp32, eight bits and four, over random weights that forgive little.
CLOSE = 0.95
# onnxruntime's blocks of 4 bits hold at least 16 values; what they lose here is a tenth of the weights' own size.
CLOSE_AT_FOUR_BITS = 0.6
TEXT = 31


def open_divisible(family: str, generator: Callable[[Writer], Path]) -> GenerativeRecipe:
    options = DIVISIBLE.get(family, LLAMA_DIVISIBLE)
    if "head_dim" in SIZES[family]:
        options = {**options, "head_dim": 16}
    case = Writer(family, "divisible", options)
    recipe = open_recipe(generator(case), case.task)
    assert isinstance(recipe, GenerativeRecipe)
    return recipe


def logits_of(recipe: GenerativeRecipe, plan: Plan, directory: Path) -> NDArray[np.float32]:
    """Of a prompt of all but one token, and of that one after it: [TEXT, vocabulary]."""
    sessions = sessions_of(recipe, plan, directory)
    cross, mask = None, None
    if "encoder" in sessions:
        mask = np.ones((1, 13), np.int64)
        cross = run(sessions["encoder"], {"input_ids": prompt(13)[None], "attention_mask": mask})
    decoder = CachedDecoder(sessions["model"], recipe.cache, 1, TEXT, cross, mask)
    ids = prompt(TEXT)
    first = decoder.feed([ids[:-1]], [list(range(TEXT - 1))])
    return np.concatenate([first, decoder.feed([ids[-1:]])], axis=1)[0]


def cosine(left: NDArray[np.float32], right: NDArray[np.float32]) -> float:
    norms = np.linalg.norm(left, axis=-1) * np.linalg.norm(right, axis=-1)
    return float(((left * right).sum(axis=-1) / norms).mean())


@pytest.mark.parametrize("family", SIZES)
def test_quantized_forms_keep_the_answer(family: str, generator: Callable[[Writer], Path], tmp_path: Path) -> None:
    recipe = open_divisible(family, generator)
    exact = logits_of(recipe, FP32, tmp_path)
    for plan, operator in PLANS:
        graphs = recipe.graphs(plan)
        for part, (model, net) in graphs.items():
            found = count_operators(model)
            together = 2 * found.get("GroupQueryAttention", 0)  # query, key and value are one product
            ours = len(net.sites) - together - (operator == "MatMulIntegerToFloat" and part == "model")
            assert found[operator] == ours, f"{plan.name}, {part}: every site is in the plan's form"
            assert found.get("FusedMatMul", 0) == 0
        if operator == "MatMulIntegerToFloat":
            assert count_operators(graphs["model"][0])["MatMulNBits"] == 1, "the vocabulary has its own form"
        answer = logits_of(recipe, plan, tmp_path)
        assert np.isfinite(answer).all()
        if HERE in plan.exact_on:
            assert cosine(answer, exact) > CLOSE, plan.name
    four = Plan("four", "int4", WeightOnly(BLOCK, 4), Int8Embedding())
    assert cosine(logits_of(recipe, four, tmp_path), exact) > CLOSE_AT_FOUR_BITS


@pytest.mark.parametrize("family", ["gpt2", "qwen2", "bart"])
def test_projections_of_which_one_stays_exact_come_apart(
    family: str, generator: Callable[[Writer], Path], tmp_path: Path
) -> None:
    recipe = open_divisible(family, generator)
    plan = ROW if HERE in ROW.exact_on else SEVEN
    keys = [name for name in recipe.write(plan)[1].sites if "k_proj" in name or "c_attn[48:96" in name]
    kept = plan.keeping(frozenset(keys[:1]))
    found, whole = count_operators(recipe.write(kept)[0]), count_operators(recipe.write(plan)[0])
    assert (found["FusedMatMul"], found["Concat"]) == (1, 1)
    assert found["MatMulIntegerToFloat"] == whole["MatMulIntegerToFloat"] + 1
    assert cosine(logits_of(recipe, kept, tmp_path), logits_of(recipe, FP32, tmp_path)) > CLOSE


@pytest.mark.parametrize(("family", "table"), [("gpt2", "wte"), ("t5", "shared"), ("gemma", "embed_tokens")])
def test_a_tied_table_is_written_once(
    family: str, table: str, generator: Callable[[Writer], Path], tmp_path: Path
) -> None:
    recipe = open_divisible(family, generator)
    assert recipe.config["tie_word_embeddings"], "this checkpoint has one matrix for both uses"
    sessions_of(recipe, ROW, tmp_path)
    [file] = tmp_path.glob("model.*.onnx")
    graph = onnx.load(file, load_external_data=False).graph
    matrices = [each.name for each in graph.initializer if table in each.name and len(each.dims) > 2]
    assert matrices == [f"{matrices[0].split('.int8')[0]}.int8.block{BLOCK}"]
    readers = [node.op_type for node in graph.node if matrices[0] in node.input]
    assert sorted(readers) == ["Gather", "MatMulNBits"]


def test_a_table_that_blocks_do_not_divide_has_a_scale_per_row(
    generator: Callable[[Writer], Path], tmp_path: Path
) -> None:
    case = Writer("gpt2")
    recipe = open_recipe(generator(case), case.task)
    assert isinstance(recipe, GenerativeRecipe)
    assert recipe.config["n_embd"] % BLOCK
    plan = Plan("rows", "int8", Int8Row(), BLOCKS)
    assert cosine(logits_of(recipe, plan, tmp_path), logits_of(recipe, FP32, tmp_path)) > CLOSE


def test_four_bits_hold_sixteen_steps_exactly() -> None:
    random = np.random.default_rng(0)
    form = WeightOnly(32, 4)
    codes = random.integers(-8, 8, (5, 64)).astype(np.float32)
    codes[:, ::32] = -8
    weight = codes * np.repeat(random.uniform(0.1, 1, (5, 2)), 32, axis=1).astype(np.float32)
    packed, scales = form._codes(weight)
    unpacked = np.stack([packed & 15, packed >> 4], axis=-1).reshape(5, 2, 32).astype(np.float32) - 8
    np.testing.assert_allclose((unpacked * scales.reshape(5, 2, 1)).reshape(5, 64), weight, rtol=1e-6)


def test_sizes_are_those_of_the_families() -> None:
    assert set(DIVISIBLE) < set(SIZES)
    assert LLAMA_DIVISIBLE.keys() < LLAMA_SIZES.keys()
