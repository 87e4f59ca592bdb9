"""Encoder-decoders against the unmodified transformers model: teacher forcing, then 24 tokens with both caches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
from tests.compiler.checkpoints import PAD
from tests.compiler.generators import NEW_TOKENS, Writer, decisive_prompts, greedy_reference, prompt, reference_of
from tests.compiler.graphs import run, sessions_of
from tests.compiler.seq2seq_variations import SEQ2SEQ
from tests.compiler.texts import Ids

# The largest absolute difference, as a share of the reference's largest absolute value. One for all.
TOLERANCE = 1e-4
SOURCES = (7, 1, 43, 2, 19)
TARGET_TOKENS = 37


def right_padded(rows: Sequence[Ids]) -> dict[str, torch.Tensor]:
    """The form in which transformers takes sources of different lengths."""
    ids = np.full((len(rows), max(len(row) for row in rows)), PAD, np.int64)
    mask = np.zeros_like(ids)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = row
        mask[index, : len(row)] = 1
    return {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}


@dataclass(frozen=True)
class Opened:
    """A case's recipe, its fp32 sessions and the reference."""

    recipe: GenerativeRecipe
    encoder: ort.InferenceSession
    decoder: ort.InferenceSession
    model: PreTrainedModel

    def read(self, sources: Sequence[Ids], capacity: int) -> CachedDecoder:
        """A decoder with empty caches that attends to `sources`."""
        feeds = {name: tensor.numpy() for name, tensor in right_padded(sources).items()}
        cross = run(self.encoder, feeds)
        return CachedDecoder(self.decoder, self.recipe.cache, len(sources), capacity, cross, feeds["attention_mask"])

    @property
    def start(self) -> Ids:
        return np.array([self.model.config.decoder_start_token_id], np.int64)


@pytest.fixture(scope="module")
def opened(generator: Callable[[Writer], Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[Writer], Opened]:
    known: dict[str, Opened] = {}

    def give(case: Writer) -> Opened:
        if str(case) not in known:
            directory = generator(case)
            recipe = open_recipe(directory, case.task)
            assert isinstance(recipe, GenerativeRecipe)
            sessions = sessions_of(recipe, FP32, tmp_path_factory.mktemp("graph") / str(case))
            known[str(case)] = Opened(recipe, sessions["encoder"], sessions["model"], reference_of(case, directory))
        return known[str(case)]

    return give


@pytest.mark.parametrize("case", SEQ2SEQ, ids=str)
def test_logits_of_teacher_forcing(case: Writer, opened: Callable[[Writer], Opened]) -> None:
    pair = opened(case)
    sources = [prompt(length) for length in SOURCES]
    for rows in (sources[:1], sources):
        targets = np.stack([np.concatenate([pair.start, prompt(TARGET_TOKENS - 1, row)]) for row in range(len(rows))])
        feeds = right_padded(rows)
        with torch.inference_mode():
            expected = pair.model(**feeds, decoder_input_ids=torch.from_numpy(targets)).logits.numpy()
        wanted = [list(range(TARGET_TOKENS))] * len(rows)
        got = pair.read(rows, TARGET_TOKENS).feed(list(targets), wanted)
        error = np.abs(got - expected).max() / np.abs(expected).max()
        assert error <= TOLERANCE, f"{len(rows)} rows: {error:.1e} of the scale"
        assert expected.std() > 1e-2


@pytest.mark.parametrize("case", SEQ2SEQ, ids=str)
def test_greedy_tokens_alone_and_in_company(case: Writer, opened: Callable[[Writer], Opened]) -> None:
    pair = opened(case)
    rows, expected = decisive_prompts(pair.model, SOURCES, right_padded)
    for row, tokens in zip(rows, expected, strict=True):
        alone = pair.read([row], NEW_TOKENS + 1)
        assert alone.greedy(alone.feed([pair.start]), NEW_TOKENS).tolist() == [tokens.tolist()]
    together = pair.read(rows, NEW_TOKENS + 3)
    assert together.greedy(together.feed([pair.start] * len(rows)), NEW_TOKENS).tolist() == expected.tolist()
    in_company, _ = greedy_reference(pair.model, right_padded(rows))
    assert in_company.tolist() == expected.tolist()


@pytest.mark.parametrize("case", SEQ2SEQ, ids=str)
def test_targets_of_different_lengths_and_in_parts(case: Writer, opened: Callable[[Writer], Opened]) -> None:
    """A batch of ragged beginnings goes on one token a row; a single target may come in parts."""
    pair = opened(case)
    sources = [prompt(length, 5) for length in SOURCES[:3]]
    targets = [np.concatenate([pair.start, prompt(length, 6)]) for length in (11, 2, 29)]
    exact = []
    for source, target in zip(sources, targets, strict=True):
        with torch.inference_mode():
            feeds = right_padded([source])
            exact.append(pair.model(**feeds, decoder_input_ids=torch.from_numpy(target[None])).logits[0].numpy())
    together = pair.read(sources, 40)
    first = together.feed([target[:-1] for target in targets])
    last = together.feed([target[-1:] for target in targets])
    for row, expected in enumerate(exact):
        scale = np.abs(expected).max()
        assert np.abs(first[row, 0] - expected[-2]).max() <= TOLERANCE * scale
        assert np.abs(last[row, 0] - expected[-1]).max() <= TOLERANCE * scale
    for cuts in ((1,), (3, 20)):
        alone = pair.read(sources[2:], 40)
        parts = [alone.feed([part], [list(range(len(part)))]) for part in np.split(targets[2], cuts)]
        assert np.abs(np.concatenate(parts, axis=1)[0] - exact[2]).max() <= TOLERANCE * np.abs(exact[2]).max()
