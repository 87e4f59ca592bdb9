"""Fusion is a fact for models that write, too: the operators of each family's graphs, counted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from layers.compiler.net import count_operators
from layers.compiler.plan import FP32
from layers.compiler.recipe import open_recipe
from tests.compiler.generators import DECODER_SIZES, SEQ2SEQ_SIZES, SIZES, Writer
from tests.compiler.graphs import sessions_of

LAYERS = 4
# Products of a layer: query, key and value in one, output, and two or three of the feed-forward; and the vocabulary's.
PLAIN = {"LayerNormalization": 2 * LAYERS + 1, "FusedMatMul": 4 * LAYERS + 1}
GATED = {"RMSNormalization": 2 * LAYERS + 1, "FusedMatMul": 5 * LAYERS + 1, "QuickGelu": LAYERS}
DECODERS = {
    "gpt2": {**PLAIN, "Gelu": LAYERS},
    "gpt_neo": {**PLAIN, "Gelu": LAYERS},
    "gpt_neox": {**PLAIN, "BiasGelu": LAYERS},
    "opt": {**PLAIN, "Relu": LAYERS},
    # The embeddings have a norm; ALiBi is laid out once, not per layer.
    "bloom": {**PLAIN, "LayerNormalization": 2 * LAYERS + 2, "Expand": 1},
    "llama": GATED,
    "mistral": GATED,
    "qwen2": GATED,
    # A norm of each layer's queries and of its keys, which come apart for it.
    "qwen3": {**GATED, "RMSNormalization": 4 * LAYERS + 1, "Split": LAYERS},
    "gemma": {**GATED, "QuickGelu": 0, "Gelu": LAYERS},
    "gemma2": {**GATED, "RMSNormalization": 4 * LAYERS + 1, "QuickGelu": 0, "Gelu": LAYERS},
    "phi3": GATED,
    "smollm3": GATED,
}
# (layers of the encoder, layers of the decoder, norms of each, projections of a feed-forward)
SEQ2SEQ = {
    "t5": (4, 3, "RMSNormalization", 9, 10, 2),
    "mt5": (4, 3, "RMSNormalization", 9, 10, 3),
    "bart": (3, 4, "LayerNormalization", 7, 13, 2),
    "mbart": (3, 4, "LayerNormalization", 8, 14, 2),
    "marian": (3, 4, "LayerNormalization", 6, 12, 2),
    "pegasus": (3, 4, "LayerNormalization", 7, 13, 2),
    "m2m_100": (3, 4, "LayerNormalization", 7, 13, 2),
}
# What an exported graph spells these with; none is left of them.
UNFUSED = ("Softmax", "Erf", "Pow", "ReduceMean", "RotaryEmbedding", "Split", "Concat", "If", "Loop", "Trilu")


def counts(case: Writer, generator: Callable[[Writer], Path]) -> dict[str, dict[str, int]]:
    recipe = open_recipe(generator(case), case.task)
    return {part: count_operators(model) for part, (model, _) in recipe.graphs(FP32).items()}


@pytest.mark.parametrize("family", DECODERS)
def test_operators_of_a_decoder(family: str, generator: Callable[[Writer], Path]) -> None:
    found = counts(Writer(family), generator)["model"]
    none = {name: 0 for name in UNFUSED if not (family == "bloom" and name == "Concat")}
    expected = {"GroupQueryAttention": LAYERS, **none, **DECODERS[family]}
    assert {name: found.get(name, 0) for name in expected} == expected


@pytest.mark.parametrize("family", SEQ2SEQ)
def test_operators_of_an_encoder_and_its_decoder(family: str, generator: Callable[[Writer], Path]) -> None:
    encoder_layers, decoder_layers, norm, encoder_norms, decoder_norms, feed_forward = SEQ2SEQ[family]
    found = counts(Writer(family), generator)
    encoder = {
        "MultiHeadAttention": encoder_layers,
        norm: encoder_norms,
        # Cross keys and values are computed here, and nowhere in the decoder.
        "FusedMatMul": (4 + feed_forward) * encoder_layers + 2 * decoder_layers,
    }
    decoder = {
        "GroupQueryAttention": decoder_layers,
        "MultiHeadAttention": decoder_layers,
        norm: decoder_norms,
        "FusedMatMul": (2 + 2 + feed_forward) * decoder_layers + 1,
    }
    assert {name: found["encoder"].get(name, 0) for name in encoder} == encoder
    assert {name: found["model"].get(name, 0) for name in decoder} == decoder


@pytest.mark.parametrize("family", SIZES)
def test_every_matrix_is_a_site(family: str, generator: Callable[[Writer], Path]) -> None:
    """Quantization reaches every matrix of the checkpoint that multiplies activations."""
    case = Writer(family)
    recipe = open_recipe(generator(case), case.task)
    nets = [net for _, net in recipe.graphs(FP32).values()]
    tables = ("embed", "wte", "wpe", "shared", "relative_attention_bias")
    matrices = {
        name
        for name in recipe.checkpoint.tensors
        if len(recipe.checkpoint.shape(name)) == 2
        and not any(part in name for part in tables)
        and name != "final_logits_bias"
    }
    assert matrices
    assert matrices <= {site.key.split("[")[0] for net in nets for site in net.sites.values()}


@pytest.mark.parametrize("family", ["t5", "bart", "m2m_100"])
def test_an_encoder_and_its_decoder_read_one_table(
    family: str, generator: Callable[[Writer], Path], tmp_path: Path
) -> None:
    recipe = open_recipe(generator(Writer(family)), Writer(family).task)
    sessions_of(recipe, FP32, tmp_path)
    initializers = onnx.load(tmp_path / "encoder.fp32.onnx", load_external_data=False).graph.initializer
    places = {each.name: {entry.key: entry.value for entry in each.external_data} for each in initializers}
    tables = [place["location"] for name, place in places.items() if name.endswith("shared.weight")]
    assert tables == ["model.fp32.data"]
    assert {place["location"] for place in places.values() if place} == {"model.fp32.data", "encoder.fp32.data"}
    bytes_written = sum(path.stat().st_size for path in tmp_path.glob("*.data"))
    assert bytes_written < recipe.checkpoint.weight_files[0].stat().st_size + 4096 * len(recipe.checkpoint.tensors)


def test_every_family_is_counted() -> None:
    assert set(DECODERS) == set(DECODER_SIZES)
    assert set(SEQ2SEQ) == set(SEQ2SEQ_SIZES)
