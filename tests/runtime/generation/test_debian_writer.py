"""The example that writes, its graph from the compiler, through a predictor: the tokens of transformers' generate."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from layers.runtime.generation.engine import GenerationEngine
from layers.runtime.predictor import Predictor
from tests.runtime.generation.compiled_artifact import write_compiled
from tests.runtime.generation.toy_decoder import MODELS

CHECKPOINT = MODELS / "debian-writer"
PROMPTS = (
    "python3-yaml (python): YAML parser and emitter",
    "vim (editors):",
    "The quick",
    "libfoo-dev (libdevel): development files for the foo library\nThis package contains the header files",
)
NEW = 24


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def reference() -> tuple[Any, Any]:
    model = AutoModelForCausalLM.from_pretrained(CHECKPOINT, dtype=torch.float32).eval()
    return model, AutoTokenizer.from_pretrained(CHECKPOINT)


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return Predictor.load(
        write_compiled(CHECKPOINT, "text-generation", tmp_path_factory.mktemp("debian-writer")), threads=1
    )


def expected(reference: tuple[Any, Any], prompt: str, **settings: Any) -> list[list[int]]:
    model, tokenizer = reference
    inputs = tokenizer(prompt, return_tensors="pt")
    answers = model.generate(**inputs, pad_token_id=0, **{"max_new_tokens": NEW, "do_sample": False, **settings})
    return [row[inputs["input_ids"].shape[1] :].tolist() for row in answers]


def tokens(predictor: Predictor, inputs: Any, **settings: Any) -> Any:
    value = predictor.predict(inputs, {"max_new_tokens": NEW, "details": True, **settings}).value
    return [
        [token["id"] for token in answer["details"]["tokens"]] if isinstance(answer, dict) else
        [token["id"] for token in answer[0]["details"]["tokens"]]
        for answer in value
    ]  # fmt: skip


@pytest.mark.parametrize(
    "settings",
    [{}, {"repetition_penalty": 1.3}, {"no_repeat_ngram_size": 2}, {"min_new_tokens": 20},
     {"repetition_penalty": 1.2, "no_repeat_ngram_size": 3}],
    ids=str,
)  # fmt: skip
def test_greedy(predictor: Predictor, reference: tuple[Any, Any], settings: dict[str, Any]) -> None:
    for prompt in PROMPTS:
        assert tokens(predictor, prompt, **settings) == expected(reference, prompt, **settings)


def test_several_prompts_at_once(predictor: Predictor, reference: tuple[Any, Any]) -> None:
    assert tokens(predictor, list(PROMPTS)) == [expected(reference, prompt)[0] for prompt in PROMPTS]


@pytest.mark.parametrize(
    "settings",
    [{"num_beams": 4}, {"num_beams": 3, "length_penalty": 2.0, "early_stopping": True},
     {"num_beams": 4, "num_return_sequences": 2, "no_repeat_ngram_size": 3}],
    ids=str,
)  # fmt: skip
def test_beams(predictor: Predictor, reference: tuple[Any, Any], settings: dict[str, Any]) -> None:
    _, tokenizer = reference
    for prompt in PROMPTS:
        found = predictor.predict(prompt, {"max_new_tokens": NEW, "return_full_text": False, **settings}).value
        wanted = [tokenizer.decode(row, skip_special_tokens=True) for row in expected(reference, prompt, **settings)]
        assert [answer["generated_text"] for answer in found] == wanted


def test_logprobs_and_sampled_distributions(predictor: Predictor, reference: tuple[Any, Any]) -> None:
    model, tokenizer = reference
    settings = {"temperature": 0.7, "top_k": 30, "top_p": 0.9, "seed": 5}
    [answer] = predictor.predict(PROMPTS[0], {"max_new_tokens": 12, "details": True, **settings}).value
    prompt = tokenizer(PROMPTS[0])["input_ids"]
    written = [token["id"] for token in answer["details"]["tokens"]]
    with torch.no_grad():
        logits = model(torch.tensor([prompt + written])).logits[0, len(prompt) - 1 : -1]
    from transformers.generation import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

    for scores, token in zip(logits, answer["details"]["tokens"], strict=True):
        for warper in (TemperatureLogitsWarper(0.7), TopKLogitsWarper(30), TopPLogitsWarper(0.9)):
            scores = warper(None, scores[None])[0]
        assert token["logprob"] == pytest.approx(float(torch.log_softmax(scores, -1)[token["id"]]), abs=1e-3)


def test_prompts_in_turn_reuse_what_they_share(predictor: Predictor, reference: tuple[Any, Any]) -> None:
    assert isinstance(predictor.engine, GenerationEngine)
    document = "A description of many packages, one after another. " * 12
    before = predictor.cache_reports()["prefixes"]
    for question in ("vim:", "emacs:", "git:"):
        assert tokens(predictor, document + question) == expected(reference, document + question)
    after: Any = predictor.cache_reports()["prefixes"]
    assert after.hits - before.hits >= 2
    assert after.tokens_saved > 2 * 64


def test_a_stream_is_the_text(predictor: Predictor) -> None:
    [answer] = predictor.predict(PROMPTS[0], {"max_new_tokens": 100}).value
    events = list(predictor.predict_stream(PROMPTS[0], {"max_new_tokens": 100}))
    assert PROMPTS[0] + "".join(event.text for event in events) == answer["generated_text"]
