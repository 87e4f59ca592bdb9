"""The graph over its slot: what is computed, what is reused, what moves; against numpy without a cache."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from layers.runtime.generation.encoder import SourceEncoder
from layers.runtime.generation.engine import GenerationEngine
from layers.runtime.generation.graph_decoder import GraphDecoder
from layers.runtime.generation.prefix_cache import PrefixCache
from layers.runtime.generation.slots import Slot
from tests.runtime.generation.toy_decoder import ToyDecoder

RANDOM = np.random.default_rng(11)
PROMPTS = [RANDOM.integers(1, 8000, length) for length in (5, 1, 9, 3)]


class CountingSession:
    """A session that remembers how many new tokens each run was given: (rows, tokens)."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._shapes: dict[int, tuple[int, int]] = {}
        self._kept: list[Any] = []
        self.runs: list[tuple[int, int]] = []

    @property
    def bound(self) -> int:
        """How many shapes were bound."""
        return len(self._kept)

    def io_binding(self) -> Any:
        binding = self._session.io_binding()
        bind = binding.bind_ortvalue_input

        def remember(name: str, value: Any) -> None:
            if name == "input_ids":
                self._shapes[id(binding)] = tuple(value.shape())
            bind(name, value)

        binding.bind_ortvalue_input = remember
        self._kept.append(binding)
        return binding

    def run_with_iobinding(self, binding: Any) -> None:
        self.runs.append(self._shapes[id(binding)])
        self._session.run_with_iobinding(binding)


@pytest.fixture
def session(engine: GenerationEngine) -> CountingSession:
    return CountingSession(engine._session)


@contextmanager
def decoder(
    engine: GenerationEngine, session: Any = None, slot: Slot | None = None, **more: Any
) -> Iterator[GraphDecoder]:
    slot = slot or Slot(engine.generation.cache)
    made = GraphDecoder(session or engine._session, engine.generation, slot, divisible=True, **more)
    yield made
    made.release()


def close(logits: Any, expected: Any) -> None:
    np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=2e-3)


def test_one_row_against_numpy(writer: ToyDecoder, engine: GenerationEngine, session: CountingSession) -> None:
    sequence = PROMPTS[0].tolist()
    with decoder(engine, session) as one:
        close(one.prefill([PROMPTS[0]])[0], writer.logits(sequence)[-1])
        for token in (7, 8000, 7, 12):
            sequence.append(token)
            close(one.step([token])[0], writer.logits(sequence)[-1])
    assert session.runs == [(1, 5), (1, 1), (1, 1), (1, 1), (1, 1)]


def test_ragged_rows_against_numpy(writer: ToyDecoder, engine: GenerationEngine) -> None:
    sequences = [prompt.tolist() for prompt in PROMPTS]
    with decoder(engine) as rows:
        logits = rows.prefill(PROMPTS)
        for step in range(4):
            close(logits, np.stack([writer.logits(sequence)[-1] for sequence in sequences]))
            tokens = [100 * step + row for row in range(len(sequences))]
            for sequence, token in zip(sequences, tokens, strict=True):
                sequence.append(token)
            logits = rows.step(tokens)


# The engine is only where the graph comes from: every example has a slot of its own.
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_reordering_against_numpy(data: st.DataObject, writer: ToyDecoder, engine: GenerationEngine) -> None:
    alone = data.draw(st.booleans())
    sequences = [prompt.tolist() for prompt in (PROMPTS[:1] if alone else PROMPTS)]
    with decoder(engine) as rows:
        rows.prefill(PROMPTS[:1] if alone else PROMPTS)
        for step in range(4):
            order = data.draw(st.lists(st.integers(0, len(sequences) - 1), min_size=1, max_size=5))
            rows.reorder(order)
            sequences = [[*sequences[row], 50 * step + place] for place, row in enumerate(order)]
            logits = rows.step([sequence[-1] for sequence in sequences])
            close(logits, np.stack([writer.logits(sequence)[-1] for sequence in sequences]))


def test_sources_follow_their_rows(rewriter: ToyDecoder, encoder_decoder: GenerationEngine) -> None:
    engine = encoder_decoder
    encoder = engine._encoder
    assert isinstance(encoder, SourceEncoder)
    sources = [RANDOM.integers(2, 8000, length) for length in (7, 2, 4)]
    texts = [[0] for _ in sources]
    with decoder(engine, sources=encoder.encode(sources)) as rows:
        close(
            rows.prefill([np.array([0])] * 3),
            np.stack([rewriter.logits([0], source)[-1] for source in sources]),
        )
        whose = [0, 1, 2]
        for step, order in enumerate([[2, 0, 1], [0, 0, 2, 2, 1], [4, 1], [1, 1, 0]]):
            rows.reorder(order)
            whose = [whose[row] for row in order]
            texts = [[*texts[row], 10 * step + place] for place, row in enumerate(order)]
            logits = rows.step([text[-1] for text in texts])
            expected = [rewriter.logits(text, sources[one])[-1] for text, one in zip(texts, whose, strict=True)]
            close(logits, np.stack(expected))


def test_the_slot_grows_in_steps_and_is_used_again(writer: ToyDecoder, engine: GenerationEngine) -> None:
    slot = Slot(engine.generation.cache)
    sequence = [3]
    with decoder(engine, slot=slot) as one:
        one.prefill([np.array(sequence)])
        for token in range(260):
            sequence.append(token)
            logits = one.step([token])
        close(logits[0], writer.logits(sequence)[-1])
    assert (slot.allocations, slot.capacity) == (2, 300)
    with decoder(engine, slot=slot) as one:
        close(one.prefill([PROMPTS[2]])[0], writer.logits(PROMPTS[2].tolist())[-1])
    assert slot.allocations == 2


def test_nothing_is_bound_or_allocated_while_tokens_are_written(engine: GenerationEngine) -> None:
    slot = Slot(engine.generation.cache)
    with decoder(engine, slot=slot) as one:
        one.prefill([PROMPTS[0]])
        first = one.step([1]).ctypes.data
        assert all(one.step([token]).ctypes.data == first for token in range(20))
    assert slot.allocations == 1


def test_a_prompt_that_extends_the_last_is_not_computed_again(
    writer: ToyDecoder, engine: GenerationEngine, session: CountingSession
) -> None:
    slot, prefixes = Slot(engine.generation.cache), PrefixCache(2**24)
    with decoder(engine, session, slot, prefixes=prefixes) as one:
        one.prefill([PROMPTS[2]])
        one.step([5])
        one.step([6])
    longer = np.array([*PROMPTS[2], 5, 6, 7, 8])
    session.runs.clear()
    with decoder(engine, session, slot, prefixes=prefixes) as one:
        close(one.prefill([longer])[0], writer.logits(longer.tolist())[-1])
    assert session.runs == [(1, 2)]
    with decoder(engine, session, slot, prefixes=prefixes) as one:
        close(one.prefill([longer])[0], writer.logits(longer.tolist())[-1])
    assert session.runs[1:] == [(1, 1)], "the last token is computed for its logits"
    report = prefixes.report()
    assert (report.hits, report.misses, report.tokens_saved, report.bytes) == (2, 1, 11 + 12, 0)


def test_a_beginning_is_found_after_other_prompts(
    writer: ToyDecoder, engine: GenerationEngine, session: CountingSession
) -> None:
    slot, prefixes = Slot(engine.generation.cache), PrefixCache(2**24)
    shared = RANDOM.integers(1, 8000, 150)
    for other in ([1, 2], [3, 4, 5]):
        for prompt in (np.array([*shared, *other]), RANDOM.integers(1, 8000, 30)):
            with decoder(engine, session, slot, prefixes=prefixes) as one:
                close(one.prefill([prompt])[0], writer.logits(prompt.tolist())[-1])
    assert session.runs == [(1, 152), (1, 30), (1, 153 - 128), (1, 30)]


def test_several_rows_save_what_they_overwrite(
    writer: ToyDecoder, engine: GenerationEngine, session: CountingSession
) -> None:
    slot, prefixes = Slot(engine.generation.cache), PrefixCache(2**24)
    shared = RANDOM.integers(1, 8000, 140)
    with decoder(engine, session, slot, prefixes=prefixes) as one:
        one.prefill([shared])
    with decoder(engine, session, slot, prefixes=prefixes) as rows:
        rows.prefill(PROMPTS)
    assert len(slot.tokens) == 0
    with decoder(engine, session, slot, prefixes=prefixes) as one:
        close(one.prefill([shared])[0], writer.logits(shared.tolist())[-1])
    assert session.runs[-1] == (1, 12)


def test_branches_leave_their_prompt_behind(
    writer: ToyDecoder, engine: GenerationEngine, session: CountingSession
) -> None:
    slot, prefixes = Slot(engine.generation.cache), PrefixCache(2**24)
    with decoder(engine, session, slot, prefixes=prefixes) as rows:
        rows.prefill([PROMPTS[2]])
        rows.reorder([0, 0, 0])
        rows.step([1, 2, 3])
        rows.reorder([2, 2, 1])
        rows.step([4, 5, 6])
        rows.reorder([1])
        rows.step([7])
    assert slot.tokens.tolist() == PROMPTS[2].tolist()
    prompt = np.array([*PROMPTS[2], 9])
    with decoder(engine, session, slot, prefixes=prefixes) as one:
        close(one.prefill([prompt])[0], writer.logits(prompt.tolist())[-1])
    assert session.runs[-1] == (1, 1)


def test_a_run_that_failed_leaves_nothing_to_reuse(engine: GenerationEngine, session: CountingSession) -> None:
    class Failing(CountingSession):
        def run_with_iobinding(self, binding: Any) -> None:
            raise RuntimeError(f"out of memory with {binding}")

    slot, prefixes = Slot(engine.generation.cache), PrefixCache(2**24)
    with (
        pytest.raises(RuntimeError, match="out of memory"),
        decoder(engine, Failing(session._session), slot, prefixes=prefixes) as one,
    ):
        one.prefill([PROMPTS[0]])
    assert len(slot.tokens) == 0


def test_long_prompts_are_computed_in_parts(tmp_path: Any) -> None:
    from tests.runtime.generation.toy_decoder import write_toy_decoder

    toy = write_toy_decoder(tmp_path / "long", max_tokens=1500)
    engine = GenerationEngine.load(toy.directory, threads=1)
    prompt = RANDOM.integers(1, 8000, 1100)
    for divisible, parts in ((True, [(1, 512), (1, 512), (1, 76)]), (False, [(1, 1100)])):
        session = CountingSession(engine._session)
        one = GraphDecoder(
            session, engine.generation, Slot(engine.generation.cache), divisible=divisible  # type: ignore[arg-type]
        )  # fmt: skip
        close(one.prefill([prompt])[0], toy.logits(prompt.tolist())[-1])
        assert session.runs == parts


def test_scores_of_a_prompt(writer: ToyDecoder, engine: GenerationEngine) -> None:
    prompt = RANDOM.integers(1, 8000, 130)
    logits = writer.logits(prompt.tolist())
    highest = logits.max(axis=1, keepdims=True)
    logprobs = logits - highest - np.log(np.exp(logits - highest).sum(axis=1, keepdims=True))
    with decoder(engine) as one:
        close(one.score(prompt), logprobs[np.arange(129), prompt[1:]])
    with decoder(engine) as one:
        assert len(one.score(prompt[:1])) == 0


def test_several_tokens_in_a_run_and_some_taken_back(
    writer: ToyDecoder, engine: GenerationEngine, session: CountingSession
) -> None:
    start, slot = PROMPTS[0].tolist(), Slot(engine.generation.cache)
    with decoder(engine, session, slot, prefixes=PrefixCache(2**24)) as one:
        one.prefill([PROMPTS[0]])
        close(one.step_ahead([5, 6, 7]), writer.logits([*start, 5, 6, 7])[-3:])
        one.take_back(2)
        close(one.step_ahead([8, 9]), writer.logits([*start, 5, 8, 9])[-2:])
        one.take_back(0)
        close(one.step([10])[0], writer.logits([*start, 5, 8, 9, 10])[-1])
        one.step_ahead([11, 12])
    assert session.runs == [(1, 5), (1, 3), (1, 2), (1, 1), (1, 2)]
    assert session.bound == 4, "a shape that comes again is found bound"
    assert slot.tokens.tolist() == [*start, 5, 8, 9, 10, 11, 12], "what later prompts may find there"


def test_several_tokens_in_a_run_make_the_slot_grow(writer: ToyDecoder, engine: GenerationEngine) -> None:
    prompt, slot = RANDOM.integers(1, 8000, 254), Slot(engine.generation.cache)
    with decoder(engine, slot=slot) as one:
        one.prefill([prompt])
        close(one.step_ahead([5, 6, 7, 8]), writer.logits([*prompt.tolist(), 5, 6, 7, 8])[-4:])
    assert (slot.capacity, slot.allocations) == (300, 2)
