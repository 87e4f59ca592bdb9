"""summarization, translation and text2text-generation through a predictor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from layers.errors import InputError
from layers.generation import GenerationDefaults
from layers.runtime.generation.engine import GenerationEngine
from layers.runtime.predictor import Predictor
from layers.runtime.vocabulary import without_extra_spaces
from tests.runtime.generation.toy_decoder import ToyDecoder, write_toy_decoder

TEXT = "an editor for text, and for more than text"


@pytest.fixture(scope="module")
def summarizer(rewriter: ToyDecoder) -> Predictor:
    return Predictor.load(rewriter.directory, threads=1)


def translator(directory: Path, **more: Any) -> tuple[ToyDecoder, Predictor]:
    toy = write_toy_decoder(
        directory / "translator", name="toy-translator", task="translation", tokenizer="debian-summarizer", **more
    )
    return toy, Predictor.load(toy.directory, threads=1)


def ids(predictor: Predictor, text: str) -> list[int]:
    return list(predictor.engine.tokenizer.encode_uncached(text).input_ids)


def written(predictor: Predictor, toy: ToyDecoder, source: list[int], count: int, start: tuple[int, ...] = (0,)) -> str:
    assert isinstance(predictor.engine, GenerationEngine)
    return predictor.engine.detokenizer.decode(toy.greedy(start, count, source))


def test_the_tasks_prefix_stands_before_the_source(summarizer: Predictor, rewriter: ToyDecoder) -> None:
    expected = written(summarizer, rewriter, ids(summarizer, f"summarize: {TEXT}"), 6)
    prediction = summarizer.predict(TEXT, {"max_new_tokens": 6})
    assert prediction.value == [{"summary_text": expected}]
    assert prediction.generated_tokens == 6


def test_a_list_is_one_flat_list(summarizer: Predictor) -> None:
    alone = [summarizer.predict(text, {"max_new_tokens": 4}).value[0] for text in (TEXT, "net")]
    assert summarizer.predict([TEXT, "net"], {"max_new_tokens": 4}).value == alone


def test_beams_and_parameters_in_their_own_place(summarizer: Predictor) -> None:
    beams = summarizer.predict(TEXT, {"max_new_tokens": 5, "num_beams": 3}).value
    assert summarizer.predict(TEXT, {"generate_parameters": {"max_new_tokens": 5, "num_beams": 3}}).value == beams
    several = {"max_new_tokens": 5, "num_beams": 3, "num_return_sequences": 3}
    assert summarizer.predict(TEXT, several).value[0] == beams[0]
    sampled = {"max_length": 6, "temperature": 5.0, "num_return_sequences": 2, "seed": 1}
    assert len(summarizer.predict(TEXT, sampled).value) == 2


def test_lengths_count_the_decoders_start(summarizer: Predictor) -> None:
    assert summarizer.predict(TEXT, {"max_length": 6}).generated_tokens == 5
    assert summarizer.predict(TEXT, {}).generated_tokens == 256


def test_long_sources_are_cut_and_counted_or_refused(summarizer: Predictor) -> None:
    prediction = summarizer.predict(TEXT * 30, {"max_new_tokens": 2})
    assert prediction.token_count == 64
    assert prediction.truncated_tokens > 0
    with pytest.raises(InputError, match="the model takes 64"):
        summarizer.predict(TEXT * 30, {"truncation": "do_not_truncate"})


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"generate_parameters": {"max_new_tokens": 5}, "max_new_tokens": 5}, "in generate_parameters and beside it"),
        ({"generate_parameters": {"truncate": True}}, "unknown parameter 'truncate'"),
        ({"generate_parameters": {"max_tokens": None}}, "unknown parameter 'max_tokens'"),
        ({"return_full_text": True}, "unknown parameter 'return_full_text'"),
        ({"max_new_tokens": 300}, "after 1 tokens of input, expected at most 299"),
        ({"src_lang": "en"}, "unknown parameter 'src_lang'"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(
    summarizer: Predictor, parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError) as refusal:
        summarizer.predict(TEXT, parameters)
    assert message in str(refusal.value)


def test_spaces_are_cleaned_up_when_asked(summarizer: Predictor) -> None:
    assert without_extra_spaces("it 's here , is n't it ? yes .") == "it's here, isn't it? yes."
    plain = summarizer.predict(TEXT, {"max_new_tokens": 20}).value[0]["summary_text"]
    cleaned = summarizer.predict(TEXT, {"max_new_tokens": 20, "clean_up_tokenization_spaces": True}).value
    assert cleaned == [{"summary_text": without_extra_spaces(plain)}]


def test_streams(summarizer: Predictor) -> None:
    events = list(summarizer.predict_stream(TEXT, {"max_new_tokens": 6}))
    assert (
        "".join(event.text for event in events)
        == summarizer.predict(TEXT, {"max_new_tokens": 6}).value[0]["summary_text"]
    )


def test_languages_by_their_tokens(tmp_path: Path) -> None:
    languages = {"source:eng": (40,), "source:deu": (41,), "target:eng": (40,), "target:deu": (41,)}
    toy, predictor = translator(tmp_path, prefixes=languages, defaults=GenerationDefaults(forced_bos_token_id=40))
    answer = predictor.predict(TEXT, {"src_lang": "eng", "tgt_lang": "deu", "max_new_tokens": 5}).value
    assert answer == [{"translation_text": written(predictor, toy, [40, *ids(predictor, TEXT)], 4, start=(0, 41))}]
    assert isinstance(predictor.engine, GenerationEngine)
    after_the_default = [40, *toy.greedy((0, 40), 4, ids(predictor, TEXT))]
    unasked = predictor.predict(TEXT, {"max_new_tokens": 5}).value
    assert unasked == [{"translation_text": predictor.engine.detokenizer.decode(after_the_default)}]
    for parameters, message in (
        ({"src_lang": "eng"}, "expected both or neither"),
        ({"src_lang": "eng", "tgt_lang": "fra"}, "parameter 'tgt_lang': got 'fra', expected one of deu, eng"),
        (
            {"src_lang": "eng", "tgt_lang": "deu", "max_new_tokens": 1},
            "parameter 'max_new_tokens': got 1, expected more than 1, which the language takes",
        ),
        (
            {"src_lang": "eng", "tgt_lang": "deu", "max_new_tokens": 300},
            "got 300 after 1 tokens of input, expected at most 299",
        ),
    ):
        with pytest.raises(InputError) as refusal:
            predictor.predict(TEXT, parameters)
        assert message in str(refusal.value)


def test_beams_in_a_language_as_if_it_were_forced(tmp_path: Path) -> None:
    """What transformers does with forced_bos_token_id, whose lengths count the language."""
    ends = tuple(range(3, 2000))
    _, by_name = translator(
        tmp_path / "named", prefixes={"source:eng": (), "target:deu": (2,)}, eos_token_ids=ends, scale=0.2
    )
    _, forced = translator(
        tmp_path / "forced", defaults=GenerationDefaults(forced_bos_token_id=2), eos_token_ids=ends, scale=0.2
    )
    settings = {"max_length": 9, "num_beams": 4, "num_return_sequences": 4, "length_penalty": 3.0}
    for text in (TEXT, "net", "a library for games"):
        answer = by_name.predict(text, {"src_lang": "eng", "tgt_lang": "deu", **settings}).value
        assert answer == forced.predict(text, settings).value


def test_languages_by_a_sentence(tmp_path: Path) -> None:
    toy, predictor = translator(tmp_path, task_prefixes={"translation_en_to_de": "translate English to German: "})
    answer = predictor.predict(TEXT, {"src_lang": "en", "tgt_lang": "de", "max_new_tokens": 5}).value
    source = ids(predictor, f"translate English to German: {TEXT}")
    assert answer == [{"translation_text": written(predictor, toy, source, 5)}]
    with pytest.raises(InputError, match="expected one of en_to_de"):
        predictor.predict(TEXT, {"src_lang": "en", "tgt_lang": "fr"})


def test_text2text(tmp_path: Path) -> None:
    toy = write_toy_decoder(tmp_path / "t2t", task="text2text-generation", tokenizer="debian-summarizer")
    predictor = Predictor.load(toy.directory, threads=1)
    answer = predictor.predict(TEXT, {"max_new_tokens": 5}).value
    assert answer == [{"generated_text": written(predictor, toy, ids(predictor, TEXT), 5)}]


def test_fewer_new_tokens_than_the_checkpoint_begins_with_may_be_asked_for(tmp_path: Path) -> None:
    """transformers' min_new_tokens takes the place of min_length, which BART's checkpoints of CNN state as 56."""
    ends = tuple(range(2000))
    _, free = translator(tmp_path / "free", eos_token_ids=ends)
    _, long = translator(tmp_path / "long", eos_token_ids=ends, defaults=GenerationDefaults(min_length=30))
    settings: dict[str, Any] = {"max_new_tokens": 40}
    unasked = long.predict(TEXT, settings).value
    assert unasked == long.predict(TEXT, {**settings, "min_new_tokens": 5, "min_length": 30}).value
    for least in (0, 5):
        asked = {**settings, "min_new_tokens": least}
        assert long.predict(TEXT, asked).value == free.predict(TEXT, asked).value != unasked
