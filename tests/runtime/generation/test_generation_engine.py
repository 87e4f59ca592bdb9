"""The engine: what it refuses, what runs together, what is reused, and that requests never mix."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from layers.artifact import Manifest
from layers.errors import ArtifactError, InputError, ModelOutputError
from layers.generation import GENERATION
from layers.runtime.generation.continuation import Continuation, Prompt
from layers.runtime.generation.engine import GenerationEngine
from layers.runtime.generation.options import DecodingOptions
from layers.runtime.generation.prefix_cache import PrefixReport
from tests.runtime.generation.toy_decoder import ToyDecoder, write_toy_decoder

RANDOM = np.random.default_rng(3)
PROMPTS = [Prompt(RANDOM.integers(1, 8000, length)) for length in (5, 1, 17, 3, 30)]
SOURCES = [Prompt(np.array([0]), RANDOM.integers(2, 8000, length)) for length in (5, 1, 17)]
GREEDY = DecodingOptions(max_new_tokens=8)


def tokens(text: Continuation) -> list[int]:
    return [event.token for event in text.events]


def prefixes(engine: GenerationEngine) -> PrefixReport:
    report = engine.cache_reports()["prefixes"]
    assert isinstance(report, PrefixReport)
    return report


def test_greedy_against_numpy(writer: ToyDecoder, engine: GenerationEngine) -> None:
    for prompt in PROMPTS:
        [[text]] = engine.generate([prompt], [GREEDY])
        assert tokens(text) == writer.greedy(prompt.tokens.tolist(), 8)
        assert text.text == engine.detokenizer.decode(tokens(text))
        assert (text.finish, text.token_count) == ("length", 8)


def test_together_as_alone(writer: ToyDecoder, engine: GenerationEngine) -> None:
    together = engine.generate(PROMPTS, [GREEDY] * len(PROMPTS))
    assert [tokens(text) for [text] in together] == [writer.greedy(p.tokens.tolist(), 8) for p in PROMPTS]


def test_sampled_together_as_alone(engine: GenerationEngine) -> None:
    options = [DecodingOptions(max_new_tokens=8, do_sample=True, seed=place, top_k=5) for place in range(len(PROMPTS))]
    together = engine.generate(PROMPTS, options)
    for prompt, own, [text] in zip(PROMPTS, options, together, strict=True):
        [[alone]] = engine.generate([prompt], [own])
        assert tokens(alone) == tokens(text)


def test_encoder_decoders_alone_together_and_by_beams(rewriter: ToyDecoder, encoder_decoder: GenerationEngine) -> None:
    expected = [rewriter.greedy([0], 8, prompt.source.tolist()) for prompt in SOURCES if prompt.source is not None]
    assert [tokens(text) for [text] in encoder_decoder.generate(SOURCES, [GREEDY] * 3)] == expected
    assert [tokens(encoder_decoder.generate([one], [GREEDY])[0][0]) for one in SOURCES] == expected
    wide = DecodingOptions(max_new_tokens=8, num_beams=3, num_return_sequences=2)
    [texts] = encoder_decoder.generate(SOURCES[:1], [wide])
    [narrow] = encoder_decoder.generate(SOURCES[:1], [GREEDY])
    assert len(texts) == 2
    assert texts[0].score is not None
    assert texts[1].score is not None
    assert texts[0].score >= texts[1].score
    assert (
        texts[0].text
        == encoder_decoder.detokenizer.decode(tokens(texts[0]))
        == "".join(event.text for event in texts[0].events)
    )
    assert len(tokens(narrow[0])) == 8
    assert "prefixes" not in encoder_decoder.cache_reports(), "a target's keys depend on its source"


def test_the_same_tokens_with_and_without_a_prefix(writer: ToyDecoder, engine: GenerationEngine) -> None:
    shared = RANDOM.integers(1, 8000, 140)
    without = GenerationEngine.load(writer.directory, threads=1, prefix_cache_bytes=0)
    assert "prefixes" not in without.cache_reports()
    for ending in ([1], [2, 3], [1, 9], [4]):
        prompt = Prompt(np.array([*shared, *ending]))
        [[reused]], [[computed]] = engine.generate([prompt], [GREEDY]), without.generate([prompt], [GREEDY])
        assert tokens(reused) == tokens(computed)
    assert prefixes(engine).hits == 3
    assert prefixes(engine).tokens_saved >= 3 * 128


def test_variants_whose_rows_depend_on_each_other_reuse_and_share_nothing(tmp_path: Path) -> None:
    toy = write_toy_decoder(tmp_path / "dependent", row_independent=False)
    engine = GenerationEngine.load(toy.directory, threads=1)
    runs: list[int] = []
    session = engine._session

    class Watched:
        def io_binding(self) -> Any:
            return session.io_binding()

        def run_with_iobinding(self, binding: Any) -> None:
            runs.append(1)
            session.run_with_iobinding(binding)

    engine._session = Watched()  # type: ignore[assignment]
    for _ in range(2):
        texts = engine.generate(PROMPTS[:2], [GREEDY] * 2)
        assert [tokens(text) for [text] in texts] == [toy.greedy(p.tokens.tolist(), 8) for p in PROMPTS[:2]]
    assert len(runs) == 2 * 2 * 8
    assert "prefixes" not in engine.cache_reports()


def test_requests_at_once_never_mix(writer: ToyDecoder) -> None:
    engine = GenerationEngine.load(writer.directory, threads=1, max_generations=3, generation_wait_seconds=60)
    expected = [writer.greedy(prompt.tokens.tolist(), 8) for prompt in PROMPTS]

    def ask(number: int) -> bool:
        place = number % len(PROMPTS)
        if number % 3 == 0:
            events = list(engine.stream(PROMPTS[place], [GREEDY]))
            return [event.token for event in events] == expected[place]
        if number % 3 == 1:
            [[text]] = engine.generate([PROMPTS[place]], [GREEDY])
            return tokens(text) == expected[place]
        return [tokens(text) for [text] in engine.generate(PROMPTS, [GREEDY] * len(PROMPTS))] == expected

    with ThreadPoolExecutor(6) as threads:
        assert all(threads.map(ask, range(45)))


def test_a_model_that_is_busy_refuses(writer: ToyDecoder) -> None:
    engine = GenerationEngine.load(writer.directory, threads=1, max_generations=1, generation_wait_seconds=0)
    events = engine.stream(PROMPTS[0], [GREEDY])
    next(events)
    with pytest.raises(InputError, match="busy") as refusal:
        engine.generate([PROMPTS[1]], [GREEDY])
    assert refusal.value.status == 429
    events.close()
    assert len(engine.generate([PROMPTS[1]], [GREEDY])) == 1


def test_what_does_not_fit_is_refused_before_any_work(writer: ToyDecoder) -> None:
    engine = GenerationEngine.load(writer.directory, threads=1, kv_cache_bytes=300 * 512)
    long = Prompt(np.ones(290, dtype=np.int64))
    with pytest.raises(InputError, match=r"'max_new_tokens': got 11 after 290 tokens of input, expected at most 10"):
        engine.generate([long], [DecodingOptions(max_new_tokens=11)])
    with pytest.raises(InputError, match=r"got 300 tokens, toy-writer takes 300 with the answer"):
        engine.room(Prompt(np.ones(300, dtype=np.int64)))
    with pytest.raises(InputError, match="too much memory for keys and values: got 2 x 13 tokens"):
        engine.generate(PROMPTS[:1], [DecodingOptions(max_new_tokens=8, num_beams=2)])
    assert engine._slots.held_bytes() == 0
    texts = engine.generate(PROMPTS, [GREEDY] * len(PROMPTS))
    assert len(texts) == len(PROMPTS), "rows that do not fit together run one after another"


def test_a_stream_is_what_generate_gives(writer: ToyDecoder, engine: GenerationEngine) -> None:
    events = list(engine.stream(PROMPTS[0], [DecodingOptions(max_new_tokens=8, logprobs=True)]))
    assert [event.token for event in events] == writer.greedy(PROMPTS[0].tokens.tolist(), 8)
    assert all(event.logprob is not None and event.logprob <= 0 for event in events)
    with pytest.raises(InputError, match="num_beams"):
        engine.stream(PROMPTS[0], [DecodingOptions(max_new_tokens=8, num_beams=2)])


def test_a_stream_that_is_left_gives_its_slot_back(engine: GenerationEngine) -> None:
    events = engine.stream(PROMPTS[0], [GREEDY])
    next(events)
    before = engine._slots._running
    assert len(before) == 1
    events.close()
    assert len(engine._slots._running) == 0


def test_warming_up_leaves_the_caches_alone(engine: GenerationEngine, encoder_decoder: GenerationEngine) -> None:
    engine.warm_up()
    encoder_decoder.warm_up()
    report = prefixes(engine)
    assert (report.hits, report.misses, engine.tokenizer.cache_report().misses) == (0, 0, 0)


def test_logits_that_are_none_are_ours_to_mend(tmp_path: Path) -> None:
    toy = write_toy_decoder(tmp_path / "broken", name="broken", scale=np.nan)
    with pytest.raises(ModelOutputError, match="logits hold nan"):
        GenerationEngine.load(toy.directory, threads=1).generate(PROMPTS[:1], [GREEDY])


def test_an_altered_generation_file_is_refused(tmp_path: Path) -> None:
    toy = write_toy_decoder(tmp_path / "altered", name="altered")
    path = toy.directory / GENERATION
    path.write_text(path.read_text().replace('"max_tokens": 300', '"max_tokens": 900'))
    with pytest.raises(ArtifactError, match=r"altered: generation\.json does not match"):
        GenerationEngine.load(toy.directory)


def test_an_encoder_that_is_missing_is_named(rewriter: ToyDecoder) -> None:
    manifest = Manifest.read(rewriter.directory)
    assert manifest.variants[0].encoder_file == "encoder.fp32.onnx"
    engine = GenerationEngine.load(rewriter.directory, threads=1)
    with pytest.raises(ArtifactError, match=r"generation\.json says encoder-decoder"):
        GenerationEngine(
            manifest,
            engine.variant,
            engine.generation,
            engine.tokenizer,
            engine.detokenizer,
            engine._session,
            threads=1,
        )
