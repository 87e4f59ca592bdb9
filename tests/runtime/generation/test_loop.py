"""Rows advance as transformers' generate would take each of them, end on their own, and are never computed twice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from layers.runtime.generation.detokenizer import Detokenizer
from layers.runtime.generation.loop import TokenEvent, generate
from layers.runtime.generation.options import DecodingOptions
from tests.runtime.generation.test_detokenizer import tokenizer
from tests.runtime.generation.torch_decoder import TorchDecoder, tiny_gpt2

MODEL = tiny_gpt2(vocabulary=120, seed=5)
TOKENIZER = tokenizer("debian-writer")
DETOKENIZER = Detokenizer(TOKENIZER)
PROMPTS = [np.array([4, 9, 33]), np.array([7]), np.array([3, 3, 3, 50, 61]), np.array([119, 2])]


def run(
    prompts: list[Any], options: list[DecodingOptions], decoder: TorchDecoder | None = None
) -> list[list[TokenEvent]]:
    rows: list[list[TokenEvent]] = [[] for _ in prompts]
    for event in generate(decoder or TorchDecoder(MODEL), prompts, options, DETOKENIZER):
        rows[event.row].append(event)
    return rows


def tokens(events: list[TokenEvent]) -> list[int]:
    return [event.token for event in events]


def text(events: list[TokenEvent]) -> str:
    return "".join(event.text for event in events)


@pytest.mark.parametrize(
    "settings",
    [{}, {"repetition_penalty": 1.5}, {"no_repeat_ngram_size": 2}, {"min_new_tokens": 12}, {"suppress_tokens": (5, 6)},
     {"bad_words_ids": ((11,), (3, 9))}, {"forced_eos_token_id": 0}],
)  # fmt: skip
def test_greedy_is_transformers_greedy(settings: dict[str, Any]) -> None:
    for prompt in PROMPTS:
        theirs = {name: list(map(list, v)) if name == "bad_words_ids" else v for name, v in settings.items()}
        expected = MODEL.generate(
            torch.from_numpy(prompt)[None], attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            max_new_tokens=20, eos_token_id=[0, 17], do_sample=False, **theirs,
        )[0, len(prompt) :].tolist()  # fmt: skip
        [events] = run([prompt], [DecodingOptions(max_new_tokens=20, eos_token_ids=(0, 17), **settings)])
        assert tokens(events) == expected


@pytest.mark.parametrize("sampled", [False, True])
def test_in_company_as_alone(sampled: bool) -> None:
    options = [
        DecodingOptions(max_new_tokens=count, eos_token_ids=(0, 17), do_sample=sampled, seed=seed, temperature=1.5)
        for seed, count in enumerate((9, 20, 3, 14))
    ]
    together = run(PROMPTS, options)
    for prompt, own, events in zip(PROMPTS, options, together, strict=True):
        [alone] = run([prompt], [own])
        assert [(e.token, e.text, e.finish) for e in events] == [(e.token, e.text, e.finish) for e in alone]
        assert [event.finish is not None for event in events] == [False] * (len(events) - 1) + [True]


def test_rows_that_ended_are_not_computed() -> None:
    decoder = TorchDecoder(MODEL)
    run(PROMPTS, [DecodingOptions(max_new_tokens=count) for count in (1, 4, 2, 4)], decoder)
    assert decoder.computed == [[3, 1, 5, 2], [1, 1, 1], [1, 1], [1, 1]]


def test_one_prompt_branches_after_it_was_computed_once() -> None:
    decoder = TorchDecoder(MODEL)
    options = [DecodingOptions(max_new_tokens=3, do_sample=True, seed=seed, temperature=3.0) for seed in range(3)]
    rows = run([PROMPTS[2]] * 3, options, decoder)
    assert decoder.computed == [[5], [1, 1, 1], [1, 1, 1]]
    assert len({tuple(tokens(events)) for events in rows}) > 1
    for own, events in zip(options, rows, strict=True):
        [alone] = run([PROMPTS[2]], [own])
        assert tokens(alone) == tokens(events)


def test_why_a_text_ended() -> None:
    [long] = run([PROMPTS[0]], [DecodingOptions(max_new_tokens=12)])
    assert long[-1].finish == "length"
    third = long[2].token
    [ended] = run([PROMPTS[0]], [DecodingOptions(max_new_tokens=12, eos_token_ids=(third,))])
    assert ended[-1].finish == "eos_token"
    assert tokens(ended) == tokens(long)[: tokens(long).index(third) + 1]
    [at_the_limit] = run([PROMPTS[0]], [DecodingOptions(max_new_tokens=len(ended), eos_token_ids=(third,))])
    assert at_the_limit[-1].finish == "eos_token"


@pytest.mark.parametrize("keep", [True, False])
def test_a_stop_string_ends_the_text_across_tokens(keep: bool) -> None:
    [long] = run([PROMPTS[0]], [DecodingOptions(max_new_tokens=12)])
    whole = text(long)
    stop = whole[3:6]
    start = whole.index(stop)
    [stopped] = run([PROMPTS[0]], [DecodingOptions(max_new_tokens=12, stop=(stop,), keep_stop=keep)])
    assert stopped[-1].finish == "stop_sequence"
    assert text(stopped) == whole[: start + (len(stop) if keep else 0)]
    assert len(stopped) < len(long)


@pytest.mark.parametrize("keep", [True, False])
def test_a_stop_string_may_be_a_special_tokens_name(keep: bool) -> None:
    # Nothing shows token 0, and these texts, drawn almost evenly, go on behind it.
    drawn = [DecodingOptions(40, do_sample=True, temperature=30.0, seed=seed) for seed in range(8)]
    options, long = next(
        (own, events) for own in drawn for events in run([PROMPTS[1]], [own]) if 0 in tokens(events)[5:-1]
    )
    place = tokens(long).index(0)
    [stopped] = run([PROMPTS[1]], [replace(options, stop=("<|endoftext|>", "@@@@"), keep_stop=keep)])
    assert tokens(stopped) == tokens(long)[: place + 1]
    assert text(stopped) == TOKENIZER.decode(tokens(stopped))
    assert stopped[-1].finish == "stop_sequence"


def test_texts_are_the_tokenizers_decode() -> None:
    for prompt in PROMPTS:
        [events] = run([prompt], [DecodingOptions(max_new_tokens=20, do_sample=True, seed=1)])
        assert text(events) == TOKENIZER.decode(tokens(events))


def test_special_tokens_are_marked() -> None:
    options = DecodingOptions(max_new_tokens=4, forced_eos_token_id=0, eos_token_ids=(0,), logprobs=True)
    [events] = run([PROMPTS[1]], [options])
    assert [event.special for event in events] == [False, False, False, True]
    assert events[-1].text == ""
    assert events[-1].logprob == 0


def test_closing_the_iterator_ends_the_work() -> None:
    decoder = TorchDecoder(MODEL)
    events = generate(decoder, [PROMPTS[0]], [DecodingOptions(max_new_tokens=50)], DETOKENIZER)
    next(events)
    events.close()  # type: ignore[attr-defined]
    assert len(decoder.computed) == 1
