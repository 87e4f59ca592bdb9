"""Texts of many requests in one decoder: each as alone, coming and going between steps, in turn."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from layers.errors import InputError, ModelOutputError
from layers.runtime.device import CPU_PLACE
from layers.runtime.generation.continuation import Continuation, Prompt
from layers.runtime.generation.decoder import Ids, Logits
from layers.runtime.generation.engine import GenerationEngine
from layers.runtime.generation.loop import TokenEvent
from layers.runtime.generation.options import DecodingOptions
from layers.runtime.generation.scheduler import Scheduler
from tests.runtime.generation.toy_decoder import ToyDecoder, write_toy_decoder

WAIT_SECONDS = 20
VOCABULARY = 8192


def prompt(*tokens: int) -> Ids:
    return np.array(tokens, dtype=np.int64)


class CountingRows:
    """Rows whose every next token is one more than the last; keeps what happened, and each step waits to be let."""

    def __init__(self) -> None:
        self.begun: list[tuple[int, int]] = []
        self.steps: list[set[int]] = []
        self.ended: list[int] = []
        self.opened = 0
        self.memory = 1_000
        self.read: list[int] = []
        self.stepping = threading.Semaphore(0)
        self.let = threading.Semaphore(0)
        self._admitted: dict[int, int] = {}

    @contextmanager
    def open(self, tokens: int, prompt: Ids) -> Iterator[CountingRows]:  # noqa: ARG002
        self.opened += 1
        yield self

    def admits(self, row: int, tokens: int) -> bool:
        admitted = {**self._admitted, row: tokens}
        if sum(admitted.values()) > self.memory:
            return False
        self._admitted = admitted
        return True

    def begin(self, row: int, prompt: Ids, source: Ids | None) -> Likely:  # noqa: ARG002
        self.begun.append((row, int(prompt[0])))
        if prompt[0] == 13:
            raise ModelOutputError("no such prompt")
        return Likely({row: int(prompt[-1]) + 1}, self.read)

    def advance(self, tokens: Mapping[int, int]) -> Likely:
        self.steps.append(set(tokens))
        self.stepping.release()
        assert self.let.acquire(timeout=WAIT_SECONDS)
        if 666 in tokens.values():
            raise ZeroDivisionError("a step failed")
        return Likely({row: token + 1 for row, token in tokens.items()}, self.read)

    def end(self, row: int) -> None:
        del self._admitted[row]
        self.ended.append(row)


class Likely:
    """Scores in which one token of each row is the likeliest."""

    def __init__(self, tokens: Mapping[int, int], read: list[int] | None = None) -> None:
        self._tokens = tokens
        self._read = [] if read is None else read

    def logits(self, row: int) -> Logits:
        self._read.append(row)
        scores = np.zeros(VOCABULARY, dtype=np.float32)
        scores[self._tokens[row]] = 1.0
        return scores

    def likeliest(self) -> dict[int, tuple[int, float]]:
        return {row: (token, 1.0) for row, token in self._tokens.items()}


@pytest.fixture
def rows() -> CountingRows:
    return CountingRows()


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as executor:
        yield executor


def scheduler_of(rows: CountingRows, engine: GenerationEngine, **options: Any) -> Scheduler:
    return Scheduler(rows.open, engine.detokenizer, **{"max_rows": 4, "wait_seconds": WAIT_SECONDS, **options})


def write(scheduler: Scheduler, *firsts: int, tokens: int = 3) -> list[list[int]]:
    """The texts after prompts of one token."""
    texts: list[list[int]] = [[] for _ in firsts]
    prompts = [prompt(first) for first in firsts]
    for event in scheduler.run(prompts, [None] * len(firsts), [DecodingOptions(max_new_tokens=tokens)] * len(firsts)):
        texts[event.row].append(event.token)
    return texts


def test_scores_are_read_only_where_a_least_length_forbids_the_likeliest(
    rows: CountingRows, engine: GenerationEngine
) -> None:
    rows.let.release(9)
    options = DecodingOptions(max_new_tokens=6, min_new_tokens=4, eos_token_ids=(103,))
    tokens = [event.token for event in scheduler_of(rows, engine).run([prompt(100)], [None], [options])]
    # 103 is the end, and would be the third.
    assert tokens == [101, 102, 0, 1, 2, 3]
    assert rows.read == [0]


def test_a_request_joins_one_that_is_under_way(
    rows: CountingRows, engine: GenerationEngine, threads: ThreadPoolExecutor
) -> None:
    scheduler = scheduler_of(rows, engine)
    early = threads.submit(write, scheduler, 100, tokens=4)
    assert rows.stepping.acquire(timeout=WAIT_SECONDS)
    late = submitted(threads, scheduler, 200, tokens=2)
    rows.let.release(9)
    assert early.result(WAIT_SECONDS) == [[101, 102, 103, 104]]
    assert late.result(WAIT_SECONDS) == [[201, 202]]
    assert rows.steps == [{0}, {0, 1}, {0}]
    assert rows.ended == [1, 0]
    assert rows.opened == 1


def submitted(threads: ThreadPoolExecutor, scheduler: Scheduler, *firsts: int, tokens: int = 3) -> Future[Any]:
    """A request that is known to wait when this returns."""
    before = len(scheduler)
    asked = threads.submit(write, scheduler, *firsts, tokens=tokens)
    while len(scheduler) == before:
        threading.Event().wait(0.001)
    return asked


def test_a_crowd_joins_one_a_step_and_rows_are_used_again(
    rows: CountingRows, engine: GenerationEngine, threads: ThreadPoolExecutor
) -> None:
    scheduler = scheduler_of(rows, engine, max_rows=2)
    first = threads.submit(write, scheduler, 100, tokens=4)
    assert rows.stepping.acquire(timeout=WAIT_SECONDS)
    others = [submitted(threads, scheduler, start) for start in (200, 300, 400)]
    rows.let.release(99)
    assert [one.result(WAIT_SECONDS) for one in (first, *others)] == [
        [[start + place for place in range(1, 5)]] if start == 100 else [[start + 1, start + 2, start + 3]]
        for start in (100, 200, 300, 400)
    ]
    assert [token for _, token in rows.begun] == [100, 200, 300, 400]
    assert max(len(step) for step in rows.steps) == 2


def test_a_request_of_many_texts_leaves_room_for_others(
    rows: CountingRows, engine: GenerationEngine, threads: ThreadPoolExecutor
) -> None:
    scheduler = scheduler_of(rows, engine, max_rows=2)
    many = threads.submit(write, scheduler, 100, 110, 120, 130)
    assert rows.stepping.acquire(timeout=WAIT_SECONDS)
    one = submitted(threads, scheduler, 200)
    rows.let.release(99)
    assert one.result(WAIT_SECONDS) == [[201, 202, 203]]
    assert many.result(WAIT_SECONDS) == [[101, 102, 103], [111, 112, 113], [121, 122, 123], [131, 132, 133]]
    assert [token for _, token in rows.begun][:2] == [100, 200]


def test_who_does_not_fit_is_waited_for(
    rows: CountingRows, engine: GenerationEngine, threads: ThreadPoolExecutor
) -> None:
    rows.memory = 10
    scheduler = scheduler_of(rows, engine)
    first = threads.submit(write, scheduler, 100, tokens=4)
    assert rows.stepping.acquire(timeout=WAIT_SECONDS)
    large, small = submitted(threads, scheduler, 200, tokens=9), submitted(threads, scheduler, 300, tokens=1)
    rows.let.release(99)
    for asked in (first, large, small):
        asked.result(WAIT_SECONDS)
    assert [token for _, token in rows.begun] == [100, 200, 300]


def test_a_text_nobody_reads_any_more_leaves_its_row(
    rows: CountingRows, engine: GenerationEngine, threads: ThreadPoolExecutor
) -> None:
    scheduler = scheduler_of(rows, engine)
    stream: Generator[TokenEvent] = scheduler.run([prompt(100)], [None], [DecodingOptions(max_new_tokens=500)])
    assert next(stream).token == 101
    assert rows.stepping.acquire(timeout=WAIT_SECONDS)
    stream.close()
    other = submitted(threads, scheduler, 200)
    rows.let.release(99)
    assert other.result(WAIT_SECONDS) == [[201, 202, 203]]
    assert rows.ended[0] == 0
    assert len(rows.steps) < 9


def test_a_prompt_that_fails_is_alone_in_it(
    rows: CountingRows, engine: GenerationEngine, threads: ThreadPoolExecutor
) -> None:
    scheduler = scheduler_of(rows, engine)
    good = threads.submit(write, scheduler, 100)
    assert rows.stepping.acquire(timeout=WAIT_SECONDS)
    bad = submitted(threads, scheduler, 13)
    rows.let.release(99)
    assert good.result(WAIT_SECONDS) == [[101, 102, 103]]
    with pytest.raises(ModelOutputError, match="no such prompt"):
        bad.result(WAIT_SECONDS)


def test_options_that_cannot_be_followed_are_refused_to_who_sent_them(
    rows: CountingRows, engine: GenerationEngine, threads: ThreadPoolExecutor
) -> None:
    """numpy takes no seed below 0: whatever a text cannot begin with, nobody waits for it for ever."""
    scheduler = scheduler_of(rows, engine)
    good = threads.submit(write, scheduler, 100)
    assert rows.stepping.acquire(timeout=WAIT_SECONDS)
    options = DecodingOptions(max_new_tokens=3, do_sample=True, seed=-1)
    bad = threads.submit(lambda: list(scheduler.run([prompt(200)], [None], [options])))
    rows.let.release(99)
    with pytest.raises(ValueError, match="non-negative"):
        bad.result(WAIT_SECONDS)
    assert good.result(WAIT_SECONDS) == [[101, 102, 103]]


def test_a_step_that_fails_ends_its_texts_and_not_the_server(
    rows: CountingRows, engine: GenerationEngine, threads: ThreadPoolExecutor
) -> None:
    scheduler = scheduler_of(rows, engine)
    rows.let.release(99)
    with pytest.raises(ZeroDivisionError):
        threads.submit(write, scheduler, 665).result(WAIT_SECONDS)
    rows._admitted.clear()
    assert threads.submit(write, scheduler, 100).result(WAIT_SECONDS) == [[101, 102, 103]]


def test_waiting_is_bounded_in_number_and_in_time(
    rows: CountingRows, engine: GenerationEngine, threads: ThreadPoolExecutor
) -> None:
    scheduler = scheduler_of(rows, engine, max_rows=1, max_waiting=1, wait_seconds=0.01)
    running = threads.submit(write, scheduler, 100)
    assert rows.stepping.acquire(timeout=WAIT_SECONDS)
    waiting = submitted(threads, scheduler, 200)
    with pytest.raises(InputError, match="1 requests that wait") as refused:
        write(scheduler, 300)
    assert (refused.value.status, refused.value.error_type) == (429, "overloaded")
    threading.Event().wait(0.02)
    rows.let.release(99)
    with pytest.raises(InputError, match="no room within") as late:
        waiting.result(WAIT_SECONDS)
    assert late.value.status == 429
    assert running.result(WAIT_SECONDS) == [[101, 102, 103]]


# The same through an engine and its graph.


@pytest.fixture
def together(writer: ToyDecoder) -> GenerationEngine:
    """An engine that writes all texts with three rows, in memory for one of 300 tokens and little more."""
    return GenerationEngine.load(writer.directory, threads=1, generation_rows=3)


def requests() -> list[tuple[Prompt, DecodingOptions]]:
    random = np.random.default_rng(3)
    lengths = [1, 5, 140, 30, 250, 2, 70]
    prompts = [Prompt(random.integers(1, VOCABULARY, size=length)) for length in lengths]
    return [
        (each, DecodingOptions(max_new_tokens=10 + 5 * place, do_sample=place % 2 == 1, seed=place, top_k=50))
        for place, each in enumerate(prompts)
    ]


def tokens_of(texts: Sequence[Continuation]) -> list[int]:
    return [event.token for event in texts[0].events]


@pytest.mark.parametrize("prefix_cache_bytes", [0, 2**26])
def test_tokens_are_those_of_each_alone(
    writer: ToyDecoder, engine: GenerationEngine, prefix_cache_bytes: int, threads: ThreadPoolExecutor
) -> None:
    together = GenerationEngine.load(
        writer.directory, threads=1, generation_rows=3, prefix_cache_bytes=prefix_cache_bytes
    )
    alone = [engine.generate([each], [options])[0] for each, options in requests()]
    for _ in range(2):  # the second time from what the first has left
        asked = [threads.submit(together.generate, [each], [options]) for each, options in requests()]
        assert [tokens_of(one.result(WAIT_SECONDS)[0]) for one in asked] == [tokens_of(texts) for texts in alone]


def test_streams_and_several_prompts_share_the_rows(
    engine: GenerationEngine, together: GenerationEngine, threads: ThreadPoolExecutor
) -> None:
    greedy = DecodingOptions(max_new_tokens=20, logprobs=True)
    prompts = [each for each, _ in requests()]
    several = threads.submit(together.generate, prompts, [greedy] * len(prompts))
    streamed = [event.token for event in together.stream(prompts[3], [greedy])]
    alone = [tokens_of(engine.generate([each], [greedy])[0]) for each in prompts]
    assert streamed == alone[3]
    assert [tokens_of(texts) for texts in several.result(WAIT_SECONDS)] == alone


def test_beams_and_samples_of_one_prompt_run_beside(engine: GenerationEngine, together: GenerationEngine) -> None:
    each, options = requests()[3]
    beams = replace(options, do_sample=False, num_beams=3)
    assert tokens_of(together.generate([each], [beams])[0]) == tokens_of(engine.generate([each], [beams])[0])
    seeds = [replace(options, seed=seed) for seed in range(3)]
    assert [tokens_of([one]) for one in together.branch(each, seeds)] == [
        tokens_of([one]) for one in engine.branch(each, seeds)
    ]


def test_memory_bounds_how_many_run_together(
    writer: ToyDecoder, engine: GenerationEngine, threads: ThreadPoolExecutor
) -> None:
    # Two layers of keys and values of two heads of 16 numbers: one row of 300 tokens, or two of 256 less.
    budget = 300 * 2 * 2 * 2 * 16 * 4
    tight = GenerationEngine.load(writer.directory, threads=1, generation_rows=3, kv_cache_bytes=budget)
    alone = [tokens_of(engine.generate([each], [options])[0]) for each, options in requests()]
    asked = [threads.submit(tight.generate, [each], [options]) for each, options in requests()]
    assert [tokens_of(one.result(WAIT_SECONDS)[0]) for one in asked] == alone


def test_beams_get_their_turn_beside_texts_that_keep_coming(
    writer: ToyDecoder, engine: GenerationEngine, threads: ThreadPoolExecutor
) -> None:
    # Four rows of 256 tokens, which the texts take and never give up together.
    budget = 4 * 256 * 2 * 2 * 2 * 16 * 4
    tight = GenerationEngine.load(
        writer.directory, threads=1, generation_rows=4, kv_cache_bytes=budget, generation_wait_seconds=4.0
    )
    over, full = threading.Event(), threading.Semaphore(0)

    def keep_coming(first: int) -> None:
        while not over.is_set():
            tight.generate([Prompt(prompt(first, 6, 7))], [DecodingOptions(max_new_tokens=60)])
            full.release()

    coming = [threads.submit(keep_coming, first) for first in range(5, 13)]
    assert all(full.acquire(timeout=WAIT_SECONDS) for _ in coming)
    each, beams = Prompt(prompt(9, 6, 7)), DecodingOptions(max_new_tokens=20, num_beams=3)
    try:
        [texts] = tight.generate([each], [beams])
    finally:
        over.set()
    assert tokens_of(texts) == tokens_of(engine.generate([each], [beams])[0])
    for one in coming:
        one.result(WAIT_SECONDS)


def test_rows_that_depend_on_each_other_are_not_joined(tmp_path: Path) -> None:
    toy = write_toy_decoder(tmp_path / "writer", row_independent=False)
    engine = GenerationEngine.load(toy.directory, threads=1, generation_rows=3)
    assert not engine.joins_texts
    each, options = requests()[3]
    greedy = replace(options, do_sample=False)
    assert tokens_of(engine.generate([each], [greedy])[0]) == toy.greedy(each.tokens.tolist(), greedy.max_new_tokens)


def at_a_place(engine: GenerationEngine, rows: int) -> GenerationEngine:
    """The same sessions in the manner of a card, which has rows of one size."""
    encoder = engine._encoder and engine._encoder._session
    parts = engine.manifest, engine.variant, engine.generation, engine.tokenizer, engine.detokenizer
    return GenerationEngine(*parts, engine._session, encoder, threads=1, place=CPU_PLACE, generation_rows=rows)


def test_rows_at_a_place(engine: GenerationEngine, threads: ThreadPoolExecutor) -> None:
    placed = at_a_place(engine, 3)
    assert placed.joins_texts
    alone = [tokens_of(engine.generate([each], [options])[0]) for each, options in requests()]
    asked = [threads.submit(placed.generate, [each], [options]) for each, options in requests()]
    assert [tokens_of(one.result(WAIT_SECONDS)[0]) for one in asked] == alone


def test_encoder_decoders_at_a_place(encoder_decoder: GenerationEngine, threads: ThreadPoolExecutor) -> None:
    placed, greedy = at_a_place(encoder_decoder, 3), DecodingOptions(max_new_tokens=20)
    prompts = [Prompt(np.array([0]), each.tokens[:60]) for each, _ in requests()]
    alone = [tokens_of(encoder_decoder.generate([each], [greedy])[0]) for each in prompts]
    asked = [threads.submit(placed.generate, [each], [greedy]) for each in prompts]
    assert [tokens_of(one.result(WAIT_SECONDS)[0]) for one in asked] == alone
