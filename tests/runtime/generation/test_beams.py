"""Beam search gives transformers' tokens and scores."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from layers.errors import ModelOutputError
from layers.runtime.generation.beams import beam_search
from layers.runtime.generation.options import DecodingOptions
from tests.runtime.generation.torch_decoder import TorchDecoder, tiny_gpt2

MODELS = [tiny_gpt2(seed=seed) for seed in range(3)]
SETTINGS: list[dict[str, Any]] = [
    {"num_beams": 4},
    {"num_beams": 2, "length_penalty": 2.0},
    {"num_beams": 4, "length_penalty": -1.0},
    {"num_beams": 4, "length_penalty": 0.0, "early_stopping": "never"},
    {"num_beams": 3, "early_stopping": True},
    {"num_beams": 3, "early_stopping": "never", "length_penalty": 1.5},
    {"num_beams": 4, "no_repeat_ngram_size": 2, "repetition_penalty": 1.4},
    {"num_beams": 4, "min_new_tokens": 5},
    {"num_beams": 4, "num_return_sequences": 3},
    {"num_beams": 4, "bad_words_ids": [[3], [5, 2], [11]], "renormalize_logits": True},
]


@pytest.mark.parametrize("ends", [(0,), (0, 7, 9)], ids=["one end", "three ends"])
@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: " ".join(f"{k}={v}" for k, v in settings.items()))
def test_as_transformers(settings: dict[str, Any], ends: tuple[int, ...]) -> None:
    for seed, model in enumerate(MODELS):
        prompt = np.random.default_rng(seed).integers(1, 40, 5)
        expected = model.generate(
            torch.from_numpy(prompt)[None],
            attention_mask=torch.ones(1, 5, dtype=torch.long),
            max_new_tokens=14,
            eos_token_id=list(ends),
            return_dict_in_generate=True,
            output_scores=True,
            **settings,
        )
        options = DecodingOptions(max_new_tokens=14, eos_token_ids=ends, **settings)
        found = beam_search(TorchDecoder(model), prompt, options)
        assert len(found) == len(expected.sequences)
        for hypothesis, tokens, score in zip(found, expected.sequences, expected.sequences_scores, strict=True):
            wanted = tokens[5:].tolist()
            assert list(hypothesis.tokens) == wanted[: len(hypothesis.tokens)]
            assert set(wanted[len(hypothesis.tokens) :]) <= {0}, "only padding is left out"
            assert hypothesis.score == pytest.approx(float(score), abs=1e-4)


@pytest.mark.parametrize("early_stopping", [False, True, "never"])
def test_a_language_counts_as_written(early_stopping: Any) -> None:
    """transformers is told the language and writes it first; here the prompt ends with it."""
    for seed, model in enumerate(MODELS):
        start, language = np.random.default_rng(seed).integers(1, 40, 2).tolist()
        settings: dict[str, Any] = {"num_beams": 4, "num_return_sequences": 4, "early_stopping": early_stopping}
        expected = model.generate(
            torch.tensor([[start]]),
            attention_mask=torch.ones(1, 1, dtype=torch.long),
            max_new_tokens=15,
            eos_token_id=[0, 7, 9],
            forced_bos_token_id=language,
            return_dict_in_generate=True,
            output_scores=True,
            **settings,
        )
        options = DecodingOptions(max_new_tokens=14, eos_token_ids=(0, 7, 9), begun=1, **settings)
        found = beam_search(TorchDecoder(model), np.array([start, language]), options)
        for hypothesis, tokens, score in zip(found, expected.sequences, expected.sequences_scores, strict=True):
            assert tokens[2 : 2 + len(hypothesis.tokens)].tolist() == list(hypothesis.tokens)
            assert hypothesis.score == pytest.approx(float(score), abs=1e-4)


@pytest.mark.parametrize("penalty", [-10.0, -5.0, 10.0])
def test_a_length_penalty_never_leaves_nothing(penalty: float) -> None:
    for model in MODELS:
        options = DecodingOptions(14, num_beams=3, num_return_sequences=3, length_penalty=penalty, eos_token_ids=(0,))
        found = beam_search(TorchDecoder(model), np.array([1, 2]), options)
        assert all(hypothesis.tokens and hypothesis.ended for hypothesis in found)


def test_logits_that_are_none_are_an_error() -> None:
    class Broken(TorchDecoder):
        def prefill(self, prompts: Any) -> Any:
            return super().prefill(prompts) * np.nan

    with pytest.raises(ModelOutputError, match="not finite"):
        beam_search(Broken(MODELS[0]), np.array([1, 2]), DecodingOptions(max_new_tokens=3, num_beams=2))


@pytest.mark.parametrize("renormalize", [False, True])
def test_a_beam_with_nothing_left_gives_way_to_the_others(renormalize: bool) -> None:
    """Of all tokens only the prompt's own may follow 20, so who wrote 20 cannot go on."""
    allowed = (20, 21)
    bad = tuple((token,) for token in range(1, 40) if token not in allowed)
    after = tuple((20, token) for token in (0, *allowed))
    options = DecodingOptions(
        6, num_beams=2, bad_words_ids=(*bad, *after, (0,)), renormalize_logits=renormalize, eos_token_ids=()
    )
    for model in MODELS:
        [found] = beam_search(TorchDecoder(model), np.array([21]), options)
        assert set(found.tokens[:-1]) == {21}
        assert np.isfinite(found.score)
