"""Rows at one place in memory, in the processor's: the tokens of the usual decoder, whoever comes and goes."""

from __future__ import annotations

import weakref
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from layers.generation import EXACT_PROMPTS
from layers.runtime.device import CPU_PLACE, Device, Recording
from layers.runtime.generation.continuation import Prompt
from layers.runtime.generation.device_rows import DeviceRows, RowsSize, rows_for
from layers.runtime.generation.engine import GenerationEngine
from layers.runtime.generation.options import DecodingOptions
from tests.runtime.generation.toy_decoder import ToyDecoder

RANDOM = np.random.default_rng(5)
PROMPTS = [RANDOM.integers(1, 8000, length) for length in (5, 1, 9, 3)]
WAYS = ({}, {"do_sample": True, "seed": 3}, {"num_beams": 3}, {"repetition_penalty": 1.3})


def at_a_place(engine: GenerationEngine) -> GenerationEngine:
    """The same sessions, with rows in one buffer."""
    encoder = engine._encoder and engine._encoder._session
    return GenerationEngine(
        engine.manifest,
        engine.variant,
        engine.generation,
        engine.tokenizer,
        engine.detokenizer,
        engine._session,
        encoder,
        threads=1,
        place=CPU_PLACE,
    )


def tokens_of(engine: GenerationEngine, prompts: list[Prompt], **options: Any) -> list[list[int]]:
    own = [DecodingOptions(max_new_tokens=9, **options)] * len(prompts)
    return [[event.token for event in texts[0].events] for texts in engine.generate(prompts, own)]


@pytest.mark.parametrize("options", WAYS, ids=str)
def test_the_same_tokens_as_with_slots(engine: GenerationEngine, options: dict[str, Any]) -> None:
    prompts = [Prompt(tokens) for tokens in PROMPTS]
    placed = at_a_place(engine)
    assert tokens_of(placed, prompts, **options) == tokens_of(engine, prompts, **options)
    assert tokens_of(placed, prompts[2:3], **options) == tokens_of(engine, prompts[2:3], **options)


@pytest.mark.parametrize("options", WAYS[:3], ids=str)
def test_encoder_decoders(encoder_decoder: GenerationEngine, options: dict[str, Any]) -> None:
    prompts = [Prompt(np.array([0]), source) for source in PROMPTS]
    assert tokens_of(at_a_place(encoder_decoder), prompts, **options) == tokens_of(encoder_decoder, prompts, **options)


def test_branches_and_scores(engine: GenerationEngine) -> None:
    placed, options = at_a_place(engine), [DecodingOptions(6, do_sample=True, seed=seed) for seed in range(3)]
    one, other = (each.branch(Prompt(PROMPTS[2]), options) for each in (engine, placed))
    assert [[e.token for e in text.events] for text in one] == [[e.token for e in text.events] for text in other]
    np.testing.assert_allclose(placed.score(Prompt(PROMPTS[2])), engine.score(Prompt(PROMPTS[2])), atol=1e-5)


def test_rows_come_and_go_between_steps(writer: ToyDecoder, engine: GenerationEngine) -> None:
    rows = DeviceRows(Device(engine._session, CPU_PLACE), None, engine.generation, RowsSize(3, 256))
    texts = {0: PROMPTS[0].tolist(), 2: PROMPTS[2].tolist()}
    for row, text in texts.items():
        rows.begin(row, np.array(text))
    for step in range(6):
        if step == 2:
            del texts[0]
        if step == 3:
            texts[0] = PROMPTS[3].tolist()
            scores = rows.begin(0, PROMPTS[3])
            np.testing.assert_allclose(scores.logits(0), writer.logits(texts[0])[-1], rtol=1e-3, atol=2e-3)
        for row, text in texts.items():
            text.append(7 + step + row)
        scores = rows.advance({row: text[-1] for row, text in texts.items()})
        for row, text in texts.items():
            expected = writer.logits(text)[-1]
            np.testing.assert_allclose(scores.logits(row), expected, rtol=1e-3, atol=2e-3)
            assert scores.likeliest()[row][0] == int(expected.argmax())


class Remembering(Device):
    """Knows which of its recordings are still held by somebody; `exact` says that prompts are not to be padded."""

    def __init__(self, engine: GenerationEngine, *, exact: bool = False) -> None:
        session: Any = Marked(engine._session) if exact else engine._session
        super().__init__(session, CPU_PLACE)
        self._made: list[weakref.ref[Recording]] = []

    def record(self, *shapes: Any, **options: Any) -> Recording:
        recording = super().record(*shapes, **options)
        self._made.append(weakref.ref(recording))
        return recording

    @property
    def held(self) -> int:
        return sum(made() is not None for made in self._made)


class Marked:
    """A session whose graph says that its prompts are not to be padded."""

    def __init__(self, session: Any) -> None:
        self._session = session

    def get_modelmeta(self) -> Any:
        return SimpleNamespace(custom_metadata_map={EXACT_PROMPTS: "yes"})

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)


def test_prompts_of_every_length_do_not_fill_the_memory(engine: GenerationEngine) -> None:
    scored, begun = Remembering(engine), Remembering(engine, exact=True)
    rows = [DeviceRows(device, None, engine.generation, RowsSize(1, 256)) for device in (scored, begun)]
    for length in range(2, 32):
        prompt = RANDOM.integers(1, 8000, length)
        rows[0].read(0, prompt, None, np.arange(length))
        rows[1].begin(0, prompt)
    # The last run's is read from; of exact prompts, one of 16 tokens stays as well.
    assert scored.held == 1
    assert begun.held == 2


def test_sizes_are_seen_again(engine: GenerationEngine) -> None:
    sizes = {rows_for(engine.generation, rows=rows, tokens=tokens, sources=0) for rows in (7, 8) for tokens in (3, 200)}
    assert sizes == {RowsSize(8, 256)}
