"""Prompt lookup: the guesses, that texts stay as they are without any, and how many runs of the decoder they take."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from layers.runtime.generation.continuation import Continuation, Prompt
from layers.runtime.generation.engine import GenerationEngine
from layers.runtime.generation.lookup import Drafts, LookupReport
from layers.runtime.generation.options import DecodingOptions
from layers.runtime.predictor import Predictor
from tests.runtime.generation.compiled_artifact import write_compiled
from tests.runtime.generation.toy_decoder import MODELS, ToyDecoder, write_toy_decoder

PROMPT = Prompt(np.array([7, 900, 33, 4100, 12]))
OTHER = Prompt(np.array([45, 6]))
SHORT = DecodingOptions(max_new_tokens=8)
LONG = DecodingOptions(max_new_tokens=200)
# Of tokens that took no run of their own. Measured on these texts: 1.49 for debian-writer, 0.45 for debian-summarizer.
FEWEST_A_RUN = 0.3
SETTINGS = (
    {},
    {"repetition_penalty": 1.2},
    {"no_repeat_ngram_size": 3},
    {"do_sample": True, "temperature": 0.7, "top_k": 20, "seed": 3},
    {"do_sample": True, "seed": 4},
    {"frequency_penalty": 0.5},
    {"stop": ["the", "."]},
)


def tokens(text: Continuation) -> list[int]:
    return [event.token for event in text.events]


def report(engine: GenerationEngine) -> LookupReport:
    found = engine.lookup_report()
    assert found is not None
    return found


def after(*tokens: int, most: int = 8) -> Drafts:
    return Drafts(tokens, most)


def test_a_guess_is_what_followed_the_last_two_tokens() -> None:
    assert after(1, 2, 3, 4, 9, 2, 8, 1, 2, 3).guess(8) == [4, 9], "after 2, 3 and not after the later 2"


def test_where_they_never_stood_together_nothing_is_guessed() -> None:
    for tokens in ((), (1,), (1, 2), (1, 2, 3, 4, 7, 2)):
        assert after(*tokens).guess(8) == []


def test_a_guess_is_made_while_the_last_one_held() -> None:
    drafts = after(1, 2, 3, 4, 5, 1, 2)
    assert drafts.guess(8) == [], "the first is made in silence"
    drafts.add(3)
    assert drafts.guess(8) == [4, 5], "which was right"
    drafts.add(7)
    assert drafts.guess(8) == [], "and this was wrong"
    for token in (1, 2, 3):
        drafts.add(token)
    assert drafts.guess(8) == [7, 1], "until one in silence was right again: the latest place counts"


def test_a_guess_that_reaches_the_end_goes_round() -> None:
    drafts = after(5, 6, 5, 6, 5, most=5)
    drafts.learn(2, 2)
    drafts.learn(4, 4)
    assert drafts.guess(9) == [6, 5, 6, 5, 6], "of the most tokens that were asked for"
    assert drafts.guess(3) == [6, 5, 6], "of no more than there is room for"
    assert drafts.guess(0) == []


def test_guesses_grow_while_they_are_right_and_shrink_when_not() -> None:
    drafts = after(5, 5, 5, 5)
    lengths = []
    for accepted in (2, 4, 8, 3, 0, 1):
        lengths.append(len(drafts.guess(99)))
        drafts.learn(lengths[-1], accepted)
    assert lengths == [2, 4, 8, 8, 4, 1]
    assert len(drafts.guess(99)) == 2


@pytest.fixture
def plain(writer: ToyDecoder) -> GenerationEngine:
    """The decoder, opened to guess nothing."""
    return GenerationEngine.load(writer.directory, threads=1, lookup_tokens=0)


def written(engine: GenerationEngine, prompt: Prompt, options: DecodingOptions) -> list[int]:
    [[text]] = engine.generate([prompt], [options])
    return tokens(text)


def test_a_repeating_text_takes_few_runs(engine: GenerationEngine, plain: GenerationEngine) -> None:
    """A writer that has three words to choose from has soon said everything."""
    options = replace(LONG, suppress_tokens=tuple(range(3, 8192)))
    [[text]] = engine.generate([PROMPT], [options])
    assert tokens(text) == written(plain, PROMPT, options)
    found = report(engine)
    assert text.token_count == 1 + found.runs + found.accepted_tokens, "one of the prompt, one and the right ones a run"
    assert found.runs < text.token_count / 2
    assert found.accepted_tokens <= found.drafted_tokens


def test_no_run_goes_beyond_the_texts_end(engine: GenerationEngine, plain: GenerationEngine) -> None:
    """The model takes no token more, and memory for keys and values was asked for no more."""
    options = replace(LONG, max_new_tokens=engine.generation.max_tokens - len(PROMPT))
    assert written(engine, PROMPT, options) == written(plain, PROMPT, options)
    assert len(written(engine, PROMPT, options)) == options.max_new_tokens


def test_a_text_after_a_guess_that_failed_starts_from_the_right_keys(
    engine: GenerationEngine, plain: GenerationEngine
) -> None:
    """What the slot is said to hold when a text is over is what it holds: the next request reuses it."""
    few = tuple(range(9, 8192))
    for length in range(2, 40, 5):
        begun = written(engine, PROMPT, DecodingOptions(max_new_tokens=length, suppress_tokens=few))
        longer = Prompt(np.concatenate([PROMPT.tokens, begun, [17]]))
        assert written(engine, longer, SHORT) == written(plain, longer, SHORT)
    assert report(engine).drafted_tokens > report(engine).accepted_tokens > 0


def test_a_stream_that_is_closed_leaves_the_right_keys(engine: GenerationEngine, plain: GenerationEngine) -> None:
    few = replace(LONG, suppress_tokens=tuple(range(9, 8192)))
    for count in range(1, 30, 2):
        stream = engine.stream(PROMPT, [few])
        begun = [event.token for event in islice(stream, count)]
        stream.close()
        longer = Prompt(np.concatenate([PROMPT.tokens, begun, [17]]))
        assert written(engine, longer, SHORT) == written(plain, longer, SHORT)
    assert report(engine).drafted_tokens > report(engine).accepted_tokens > 0


def test_a_source_is_looked_up_too(rewriter: ToyDecoder, encoder_decoder: GenerationEngine) -> None:
    """Of a text of one word the second is guessed right by the source alone, and only then what follows is drafted."""
    prompt = Prompt(np.array([0, 8]), np.array([8, 5, 5, 9]))
    options = DecodingOptions(max_new_tokens=4, suppress_tokens=tuple({*range(8192)} - {5}))
    plain = GenerationEngine.load(rewriter.directory, threads=1, lookup_tokens=0)
    assert written(encoder_decoder, prompt, options) == written(plain, prompt, options)
    assert report(encoder_decoder) == LookupReport(drafted_tokens=1, accepted_tokens=0, runs=3)


def test_a_prediction_that_comes_true_takes_few_runs(engine: GenerationEngine, plain: GenerationEngine) -> None:
    options = DecodingOptions(max_new_tokens=60)
    expected = written(plain, PROMPT, options)
    assert written(engine, replace(PROMPT, predicted=np.array(expected)), options) == expected
    found = report(engine)
    assert found.accepted_tokens > 40
    assert found.runs < 15


def test_a_prediction_that_does_not_changes_nothing(engine: GenerationEngine, plain: GenerationEngine) -> None:
    other = replace(PROMPT, predicted=OTHER.tokens)
    assert written(engine, other, SHORT) == written(plain, PROMPT, SHORT)


def test_texts_that_are_not_written_alone_are_not_guessed(engine: GenerationEngine) -> None:
    engine.generate([PROMPT, OTHER], [SHORT, SHORT])
    engine.generate([PROMPT], [DecodingOptions(max_new_tokens=8, num_beams=2)])
    engine.branch(PROMPT, [DecodingOptions(max_new_tokens=8, do_sample=True, seed=seed) for seed in (1, 2)])
    assert report(engine) == LookupReport(0, 0, 0)


def test_where_a_token_depends_on_its_company_nothing_is_guessed(tmp_path: Path) -> None:
    toy = write_toy_decoder(tmp_path / "dependent", row_independent=False)
    engine = GenerationEngine.load(toy.directory, threads=1)
    assert engine.lookup_report() is None
    assert written(engine, PROMPT, SHORT) == toy.greedy(PROMPT.tokens.tolist(), 8)


def test_none_are_guessed_where_none_are_asked_for(writer: ToyDecoder) -> None:
    engine = GenerationEngine.load(writer.directory, threads=1, lookup_tokens=0)
    assert engine.lookup_report() is None
    assert written(engine, PROMPT, SHORT) == writer.greedy(PROMPT.tokens.tolist(), 8)


@pytest.fixture(scope="module", params=[("debian-writer", "text-generation"), ("debian-summarizer", "summarization")])
def twins(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Predictor, Predictor]:
    """An example's fp32 graphs, with guesses and without."""
    name, task = request.param
    directory = write_compiled(MODELS / name, task, tmp_path_factory.mktemp(name))
    return name, Predictor.load(directory, threads=1), Predictor.load(directory, threads=1, lookup_tokens=0)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_held_out_texts_are_the_same(twins: tuple[str, Predictor, Predictor], settings: dict[str, Any]) -> None:
    name, ahead, alone = twins
    for text in held_out(name)[:4]:
        parameters = {"max_new_tokens": 40, "num_beams": 1, **settings}
        assert ahead.predict(text, parameters).value == alone.predict(text, parameters).value
        streams = [list(each.predict_stream(text, parameters)) for each in (ahead, alone)]
        for one, other in zip(*streams, strict=True):
            assert (one.token, one.text, one.end) == (other.token, other.text, other.end)
            assert one.logprob == pytest.approx(other.logprob, abs=1e-3), "to the rounding of products of several rows"


def test_held_out_texts_take_fewer_runs(twins: tuple[str, Predictor, Predictor]) -> None:
    name, ahead, _ = twins
    assert isinstance(ahead.engine, GenerationEngine)
    before = report(ahead.engine)
    for text in held_out(name)[4:12]:
        ahead.predict(text, {"max_new_tokens": 64, "num_beams": 1})
    after = report(ahead.engine)
    runs, accepted = after.runs - before.runs, after.accepted_tokens - before.accepted_tokens
    assert accepted > FEWEST_A_RUN * runs


def test_scores_are_reported_as_without(tmp_path: Path) -> None:
    directory = write_compiled(MODELS / "debian-writer", "text-generation", tmp_path)
    each = (Predictor.load(directory, threads=1), Predictor.load(directory, threads=1, lookup_tokens=0))
    parameters = {"max_new_tokens": 40, "top_n_tokens": 2, "details": True}
    text = held_out("debian-writer")[0]
    for one, other in zip(*(list(p.predict_stream(text, parameters)) for p in each), strict=True):
        assert one.token == other.token
        assert [named.token for named in one.top] == [named.token for named in other.top]


def held_out(name: str) -> list[str]:
    lines = (MODELS / name / "heldout.jsonl").read_text(encoding="utf-8").splitlines()
    texts = [json.loads(line)["text"] for line in lines[:12]]
    return [" ".join(text.split()[:30]) for text in texts] if name == "debian-writer" else texts
