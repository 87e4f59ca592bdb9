"""Decoders against the unmodified transformers model: a prompt's logits, then 24 tokens with the cache."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch
from transformers import PreTrainedModel

from layers.compiler.generative_recipe import GenerativeRecipe
from layers.compiler.plan import FP32
from layers.compiler.recipe import open_recipe
from tests.compiler.cached_decoder import CachedDecoder
from tests.compiler.decoder_variations import DECODERS
from tests.compiler.generators import (
    NEW_TOKENS,
    POSITIONS,
    Writer,
    decisive_prompts,
    greedy_reference,
    left_padded,
    prompt,
    reference_of,
)
from tests.compiler.graphs import session_of

# The largest absolute difference, as a share of the reference's largest absolute value. One for all.
TOLERANCE = 1e-4
LONGEST = POSITIONS - NEW_TOKENS

Opened = tuple[GenerativeRecipe, ort.InferenceSession, PreTrainedModel]


@pytest.fixture(scope="module")
def opened(generator: Callable[[Writer], Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[Writer], Opened]:
    """Gives a case's recipe, its fp32 session and the reference."""
    known: dict[str, Opened] = {}

    def give(case: Writer) -> Opened:
        if str(case) not in known:
            directory = generator(case)
            recipe = open_recipe(directory, case.task)
            assert isinstance(recipe, GenerativeRecipe)
            session = session_of(recipe, FP32, tmp_path_factory.mktemp("graph") / str(case))
            known[str(case)] = recipe, session, reference_of(case, directory)
        return known[str(case)]

    return give


def whole(length: int) -> list[list[int]]:
    return [list(range(length))]


@pytest.mark.parametrize("case", DECODERS, ids=str)
def test_logits_of_a_prompt(case: Writer, opened: Callable[[Writer], Opened]) -> None:
    recipe, session, model = opened(case)
    for length in (1, 2, 7, 31, POSITIONS):
        ids = prompt(length)
        with torch.inference_mode():
            expected = model(input_ids=torch.from_numpy(ids[None])).logits.numpy()
        got = CachedDecoder(session, recipe.cache, 1, POSITIONS + 5).feed([ids], whole(length))
        error = np.abs(got - expected).max() / np.abs(expected).max()
        assert error <= TOLERANCE, f"{length} tokens: {error:.1e} of the scale"
        assert expected.std() > 1e-2


@pytest.mark.parametrize("case", DECODERS, ids=str)
def test_greedy_tokens_alone_and_in_company(case: Writer, opened: Callable[[Writer], Opened]) -> None:
    recipe, session, model = opened(case)
    lengths = (5, 1, LONGEST, 2, 31)
    rows, expected = decisive_prompts(model, lengths, left_padded)
    for row, tokens in zip(rows, expected, strict=True):
        alone = CachedDecoder(session, recipe.cache, 1, POSITIONS)
        assert alone.greedy(alone.feed([row]), NEW_TOKENS).tolist() == [tokens.tolist()]
    together = CachedDecoder(session, recipe.cache, len(rows), POSITIONS + 3)
    assert together.greedy(together.feed(rows), NEW_TOKENS).tolist() == expected.tolist()
    in_company, _ = greedy_reference(model, left_padded(rows))
    assert in_company.tolist() == expected.tolist()


@pytest.mark.parametrize("case", DECODERS, ids=str)
def test_a_prompt_in_parts_is_the_prompt(case: Writer, opened: Callable[[Writer], Opened]) -> None:
    recipe, session, model = opened(case)
    ids = prompt(61)
    with torch.inference_mode():
        expected = model(input_ids=torch.from_numpy(ids[None])).logits.numpy()
    for cuts in ((1, 2), (40,), (7, 8, 30, 60)):
        decoder = CachedDecoder(session, recipe.cache, 1, 61)
        parts = np.split(ids, cuts)
        got = np.concatenate([decoder.feed([part], whole(len(part))) for part in parts], axis=1)
        assert np.abs(got - expected).max() <= TOLERANCE * np.abs(expected).max(), f"cut at {cuts}"
