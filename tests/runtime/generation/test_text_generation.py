"""text-generation through a predictor: answers as clients read them, parameters done or refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from layers.errors import InputError
from layers.runtime.generation.engine import GenerationEngine
from layers.runtime.predictor import Predictor
from tests.runtime.generation.toy_decoder import VOCABULARY, ToyDecoder, write_toy_decoder
from tests.runtime.toy_artifact import Toy

PROMPT = "editor (text): an editor"


@pytest.fixture(scope="module")
def predictor(writer: ToyDecoder) -> Predictor:
    return Predictor.load(writer.directory, threads=1, kv_cache_bytes=2**22, encoding_cache_bytes=2**16)


def generated(predictor: Predictor, inputs: Any = PROMPT, **parameters: Any) -> Any:
    return predictor.predict(inputs, parameters).value


def encode(predictor: Predictor, text: str) -> list[int]:
    return list(predictor.engine.tokenizer.encode_uncached(text).input_ids)


def expected_text(predictor: Predictor, writer: ToyDecoder, prompt: str, count: int) -> str:
    assert isinstance(predictor.engine, GenerationEngine)
    return predictor.engine.detokenizer.decode(writer.greedy(encode(predictor, prompt), count))


def test_a_generative_artifact_gets_a_generation_engine(predictor: Predictor, toy: Toy) -> None:
    assert isinstance(predictor.engine, GenerationEngine)
    assert predictor.tasks == ("text-generation",)
    assert set(predictor.cache_reports()) == {"encodings", "prefixes"}
    other = Predictor.load(toy.directory, threads=1, kv_cache_bytes=1, max_generations=1)
    assert not isinstance(other.engine, GenerationEngine)


def test_the_prompt_is_part_of_the_text_unless_said_otherwise(predictor: Predictor, writer: ToyDecoder) -> None:
    written = expected_text(predictor, writer, PROMPT, 6)
    assert generated(predictor, max_new_tokens=6) == [{"generated_text": PROMPT + written}]
    assert generated(predictor, max_new_tokens=6, return_full_text=False) == [{"generated_text": written}]


@pytest.mark.parametrize(
    "settings",
    [{"top_n_tokens": 2}, {"num_beams": 3}, {"temperature": 4.0, "seed": 5, "num_return_sequences": 2}],
    ids=["greedy", "beams", "drawn"],
)
@pytest.mark.parametrize("rows", [0, 2])
def test_the_first_word_keeps_the_space_before_it(tmp_path: Path, rows: int, settings: dict[str, Any]) -> None:
    """SentencePiece's tokens begin with their space, and tokenizers drops that of the first."""
    toy = write_toy_decoder(tmp_path / "spaced", tokenizer="debian-summarizer", eos_token_ids=())
    spaced = Predictor.load(toy.directory, threads=1, generation_rows=rows)
    assert isinstance(spaced.engine, GenerationEngine)
    decode = spaced.engine.detokenizer.decode
    prompt = encode(spaced, PROMPT)
    for answer in generated(spaced, max_new_tokens=6, return_full_text=False, details=True, **settings):
        details = answer["details"]
        written = [token["id"] for token in details["tokens"]]
        assert decode(prompt) + answer["generated_text"] == decode([*prompt, *written])
        assert "".join(token["text"] for token in details["tokens"] if not token["special"]) == answer["generated_text"]
        for token, top in zip(details["tokens"], details.get("top_tokens", []), strict=False):
            assert (top[0]["id"], top[0]["text"]) == (token["id"], token["text"])


def test_a_list_is_a_list_of_answers(predictor: Predictor, writer: ToyDecoder) -> None:
    answers = generated(predictor, [PROMPT, "net"], max_new_tokens=4)
    assert answers == [
        [{"generated_text": text + expected_text(predictor, writer, text, 4)}] for text in (PROMPT, "net")
    ]


def test_what_it_took_is_counted(predictor: Predictor) -> None:
    prediction = predictor.predict([PROMPT, "net"], {"max_new_tokens": 4})
    assert prediction.generated_tokens == 8
    assert prediction.token_count == len(encode(predictor, PROMPT)) + len(encode(predictor, "net"))
    assert prediction.inference_ms > 0


def test_details(predictor: Predictor, writer: ToyDecoder) -> None:
    [answer] = generated(
        predictor, max_new_tokens=5, details=True, decoder_input_details=True, top_n_tokens=2, return_full_text=False
    )
    details = answer["details"]
    ids = writer.greedy(encode(predictor, PROMPT), 5)
    assert (details["finish_reason"], details["generated_tokens"], details["seed"]) == ("length", 5, None)
    assert [token["id"] for token in details["tokens"]] == ids
    assert "".join(token["text"] for token in details["tokens"]) == answer["generated_text"]
    assert all(set(token) == {"id", "text", "logprob", "special"} for token in details["tokens"])
    assert [top[0]["id"] for top in details["top_tokens"]] == ids
    assert [top[0]["logprob"] for top in details["top_tokens"]] == pytest.approx(
        [token["logprob"] for token in details["tokens"]]
    )
    prefill = details["prefill"]
    assert [token["id"] for token in prefill] == encode(predictor, PROMPT)
    assert prefill[0]["logprob"] is None
    logits = writer.logits(encode(predictor, PROMPT))[0]
    logprob = logits[prefill[1]["id"]] - logits.max() - np.log(np.exp(logits - logits.max()).sum())
    assert prefill[1]["logprob"] == pytest.approx(logprob, abs=1e-3)


def test_sampling_is_asked_for_by_its_parameters_and_repeats_with_a_seed(predictor: Predictor) -> None:
    settings = {"max_new_tokens": 8, "temperature": 8.0, "details": True}
    first, again = (generated(predictor, seed=11, **settings)[0] for _ in range(2))
    assert first == again
    assert first["details"]["seed"] == 11
    unseeded = generated(predictor, **settings)[0]
    assert unseeded["details"]["seed"] != 11
    assert generated(predictor, seed=unseeded["details"]["seed"], **settings)[0] == unseeded


@pytest.mark.parametrize("beams", [1, 3])
def test_do_sample_false_is_greedy_whatever_stands_beside_it(predictor: Predictor, beams: int) -> None:
    parameters = {"max_new_tokens": 8, "do_sample": False, "num_beams": beams}
    heated = {"temperature": 8.0, "top_k": 50, "top_p": 0.9, "typical_p": 0.9, "min_p": 0.1}
    prediction = predictor.predict(PROMPT, {**parameters, **heated})
    assert prediction.value == generated(predictor, **parameters)
    assert prediction.repeatable


def test_best_of_is_the_likeliest(predictor: Predictor) -> None:
    settings: dict[str, Any] = {"max_new_tokens": 5, "temperature": 6.0, "details": True}

    def mean(answer: Any) -> float:
        return float(np.mean([token["logprob"] for token in answer["details"]["tokens"]]))

    each = [generated(predictor, seed=seed, **settings)[0] for seed in (4, 5, 6)]
    [best] = generated(predictor, seed=4, best_of=3, **settings)
    assert best["generated_text"] == max(each, key=mean)["generated_text"]


def test_several_texts_of_one_prompt(predictor: Predictor) -> None:
    sampled = generated(predictor, max_new_tokens=4, num_return_sequences=3, temperature=9.0, seed=1)
    assert len(sampled) == 3
    beams = generated(predictor, max_new_tokens=4, num_return_sequences=2, num_beams=3)
    assert len(beams) == 2
    assert beams[0] != beams[1]


def test_a_stop_string_ends_the_text_and_is_part_of_it(predictor: Predictor) -> None:
    [whole] = generated(predictor, max_new_tokens=8, return_full_text=False)
    stop = whole["generated_text"][4:7]
    [stopped] = generated(predictor, max_new_tokens=8, return_full_text=False, stop=[stop], details=True)
    end = whole["generated_text"].index(stop) + len(stop)
    assert stopped["generated_text"] == whole["generated_text"][:end]
    assert stopped["details"]["finish_reason"] == "stop_sequence"


def test_an_empty_prompt_starts_from_the_models_first_token(predictor: Predictor, writer: ToyDecoder) -> None:
    assert isinstance(predictor.engine, GenerationEngine)
    expected = predictor.engine.detokenizer.decode(writer.greedy([0], 4))
    assert generated(predictor, "", max_new_tokens=4) == [{"generated_text": expected}]


def test_truncate_keeps_the_end(predictor: Predictor, writer: ToyDecoder) -> None:
    assert isinstance(predictor.engine, GenerationEngine)
    prediction = predictor.predict(PROMPT, {"truncate": 3, "max_new_tokens": 4, "return_full_text": False})
    kept = encode(predictor, PROMPT)[-3:]
    assert prediction.value[0]["generated_text"] == predictor.engine.detokenizer.decode(writer.greedy(kept, 4))
    assert prediction.truncated_tokens == len(encode(predictor, PROMPT)) - 3


def test_what_nobody_asked_for_is_what_fits(predictor: Predictor) -> None:
    long = "word " * 250
    count = len(encode(predictor, long))
    assert 200 < count < 300
    assert predictor.predict(long).generated_tokens == min(100, 300 - count)
    with pytest.raises(InputError, match="'max_new_tokens': got 100"):
        generated(predictor, long, max_new_tokens=100)
    with pytest.raises(InputError, match=r"takes 300 with the answer\. Shorten it, or send truncate"):
        generated(predictor, long * 2)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"max_tokens": 5}, "unknown parameter 'max_tokens': expected one of max_new_tokens"),
        ({"temperature": 0.0}, "parameter 'temperature': got 0.0"),
        ({"top_p": 1.5}, "parameter 'top_p': got 1.5"),
        ({"do_sample": True, "num_beams": 2}, "num_beams is 2 and tokens are sampled"),
        ({"num_beams": 2, "stop": ["a"]}, "stop is given and num_beams is 2"),
        ({"num_return_sequences": 2}, "'num_return_sequences': got 2, expected at most 1"),
        ({"best_of": 2}, "'best_of': got 2 without sampling"),
        ({"max_length": 2}, "'max_length': got 2, expected more than the"),
        ({"max_length": 90, "max_new_tokens": 5}, "max_new_tokens or max_length, not both"),
        ({"stop": [""]}, "parameter 'stop'"),
        ({"bad_words_ids": [[9000]]}, "'bad_words_ids': got 9000, expected below 8192"),
        ({"decoder_input_details": True}, "without details: true"),
        ({"watermark": True}, "parameter 'watermark': got True"),
        ({"grammar": {"type": "json"}}, "parameter 'grammar'"),
        ({"adapter_id": "x"}, "parameter 'adapter_id'"),
        ({"max_new_tokens": "5"}, "parameter 'max_new_tokens': got '5'"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(predictor: Predictor, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as refusal:
        generated(predictor, **parameters)
    assert message in str(refusal.value)
    assert refusal.value.status == 422


EVERYTHING = [[token] for token in range(VOCABULARY)]
ALL_BUT_TWO = [[token] for token in range(VOCABULARY) if token not in (500, 501)]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"top_n_tokens": 2, "details": True},
        {"do_sample": True},
        {"do_sample": True, "top_p": 0.9, "typical_p": 0.9, "min_p": 0.1, "top_k": 5, "temperature": 0.5},
        {"num_beams": 2},
    ],
    ids=["greedy", "logprobs", "drawn", "cut", "beams"],
)
@pytest.mark.parametrize("rows", [0, 2])
def test_who_forbids_every_token_is_told_so(writer: ToyDecoder, settings: dict[str, Any], rows: int) -> None:
    predictor = Predictor.load(writer.directory, threads=1, generation_rows=rows)
    for forbidding, names in (
        # An end token is no bad word, as in transformers: something else must forbid it.
        ({"bad_words_ids": EVERYTHING}, "bad_words_ids and min_new_tokens"),
        (
            {"bad_words_ids": ALL_BUT_TWO, "no_repeat_ngram_size": 1},
            "no_repeat_ngram_size and bad_words_ids and min_new_tokens",
        ),
    ):
        with pytest.raises(InputError) as refusal:
            generated(predictor, max_new_tokens=4, min_new_tokens=4, **forbidding, **settings)
        assert f"no token is left to write: {names} forbid every one" in str(refusal.value)
        assert refusal.value.status == 422


def test_tokens_that_are_forbidden_are_not_among_the_likeliest(predictor: Predictor) -> None:
    [answer] = generated(predictor, max_new_tokens=1, bad_words_ids=ALL_BUT_TWO, details=True, top_n_tokens=5)
    [top] = answer["details"]["top_tokens"]
    assert {token["id"] for token in top} == {0, 500, 501}


def test_a_stream_adds_up_to_the_answer(predictor: Predictor) -> None:
    [answer] = generated(predictor, max_new_tokens=6, details=True)
    events = list(predictor.predict_stream(PROMPT, {"max_new_tokens": 6}))
    assert [event.index for event in events] == [1, 2, 3, 4, 5, 6]
    assert [event.token for event in events] == [token["id"] for token in answer["details"]["tokens"]]
    assert [event.logprob for event in events] == pytest.approx(
        [token["logprob"] for token in answer["details"]["tokens"]], abs=1e-4
    )
    assert PROMPT + "".join(event.text for event in events) == answer["generated_text"]
    assert [event.end is not None for event in events] == [False] * 5 + [True]
    end = events[-1].end
    assert end is not None
    assert (end.generated_text, end.finish_reason, end.generated_tokens, end.seed) == (
        answer["generated_text"], "length", 6, None,
    )  # fmt: skip
    assert end.input_length == len(encode(predictor, PROMPT))


def test_a_stream_is_refused_before_it_starts(predictor: Predictor, toy: Toy) -> None:
    for inputs, parameters, message in (
        ([PROMPT], {}, "got a list with stream, expected a string"),
        (PROMPT, {"num_beams": 2}, "num_beams"),
        (PROMPT, {"best_of": 2, "temperature": 2.0}, "best_of"),
        (PROMPT, {"max_new_tokens": 1000}, "'max_new_tokens': got 1000"),
    ):
        with pytest.raises(InputError) as refusal:
            predictor.predict_stream(inputs, parameters)
        assert message in str(refusal.value)
    with pytest.raises(InputError, match="cannot be streamed"):
        Predictor.load(toy.directory, threads=1).predict_stream("text")


def test_a_stream_that_is_closed_gives_its_slot_back(predictor: Predictor) -> None:
    assert isinstance(predictor.engine, GenerationEngine)
    events = predictor.predict_stream(PROMPT, {"max_new_tokens": 50})
    next(events)
    events.close()
    assert predictor.engine._slots._running == {}
