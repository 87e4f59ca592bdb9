"""huggingface_hub's InferenceClient, every method that it has for these tasks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import BadRequestError, HfHubHTTPError, ValidationError

from layers.runtime.predictor import Predictor

TEXT = "an editor for text"


@pytest.fixture
def client_of(url: str) -> Any:
    """`client_of("writer")` gives a client of that model's URL."""
    return lambda name: InferenceClient(f"{url}/models/{name}", provider="hf-inference", token="unused")


def answer(models: dict[str, Predictor], name: str, inputs: Any, task: str | None = None, **parameters: Any) -> Any:
    return models[name].predict(inputs, parameters, task=task).value


def test_text_classification(client_of: Any, models: dict[str, Predictor]) -> None:
    elements = client_of("classifier").text_classification(TEXT, top_k=2, function_to_apply="sigmoid")
    [expected] = answer(models, "classifier", TEXT, top_k=2, function_to_apply="sigmoid")
    assert [(one.label, one.score) for one in elements] == [(one["label"], one["score"]) for one in expected]


def test_token_classification(client_of: Any, models: dict[str, Predictor]) -> None:
    elements = client_of("entities").token_classification(TEXT, aggregation_strategy="simple")
    expected = answer(models, "entities", TEXT, aggregation_strategy="simple")
    assert elements
    assert [(one.entity_group, one.start, one.end, one.word) for one in elements] == [
        (one["entity_group"], one["start"], one["end"], one["word"]) for one in expected
    ]


def test_question_answering(client_of: Any, models: dict[str, Predictor]) -> None:
    question = {"question": "what is it?", "context": "It is an editor for text. It opens files."}
    best = client_of("answers").question_answering(**question)
    assert best.answer == answer(models, "answers", question)["answer"]
    several = client_of("answers").question_answering(**question, top_k=3, max_answer_len=4)
    assert len(several) == 3
    assert all(one.answer == question["context"][one.start : one.end] for one in several)


def test_fill_mask(client_of: Any, models: dict[str, Predictor]) -> None:
    elements = client_of("masks").fill_mask("an editor for [MASK].", top_k=3)
    expected = answer(models, "masks", "an editor for [MASK].", top_k=3)
    assert [(one.token, one.token_str, one.sequence) for one in elements] == [
        (one["token"], one["token_str"], one["sequence"]) for one in expected
    ]


@pytest.mark.parametrize("name", ["encoder", "sentences"])
def test_feature_extraction(client_of: Any, models: dict[str, Predictor], name: str) -> None:
    vectors = client_of(name).feature_extraction(TEXT)
    np.testing.assert_array_equal(vectors, np.array(answer(models, name, TEXT), dtype=np.float32))


def test_feature_extraction_with_options(client_of: Any, models: dict[str, Predictor]) -> None:
    options: dict[str, Any] = {
        "normalize": True, "prompt_name": "query", "truncate": True, "truncation_direction": "left", "dimensions": 4,
    }  # fmt: skip
    vectors = client_of("sentences").feature_extraction(TEXT, **options)
    np.testing.assert_array_equal(vectors, np.array(answer(models, "sentences", TEXT, **options), dtype=np.float32))


def test_sentence_similarity(client_of: Any, models: dict[str, Predictor]) -> None:
    similarities = client_of("sentences").sentence_similarity(TEXT, other_sentences=[TEXT, "net"])
    inputs = {"source_sentence": TEXT, "sentences": [TEXT, "net"]}
    assert similarities == answer(models, "sentences", inputs, "sentence-similarity")


def test_zero_shot_classification(client_of: Any, models: dict[str, Predictor]) -> None:
    labels = ["software", "music", "games"]
    elements = client_of("labels").zero_shot_classification(
        TEXT, labels, multi_label=True, hypothesis_template="It is about {}."
    )
    expected = answer(
        models, "labels", TEXT, candidate_labels=labels, multi_label=True, hypothesis_template="It is about {}."
    )
    assert [one.label for one in elements] == [one["label"] for one in expected]


def test_summarization_and_translation(client_of: Any, models: dict[str, Predictor]) -> None:
    limit = {"max_new_tokens": 4}
    summary = client_of("summarizer").summarization(TEXT, generate_parameters=limit, truncation="longest_first")
    assert [{"summary_text": summary.summary_text}] == answer(models, "summarizer", TEXT, generate_parameters=limit)
    translated = client_of("translator").translation(TEXT, generate_parameters=limit)
    assert translated.translation_text == answer(models, "translator", TEXT, **limit)[0]["translation_text"]


def test_text_generation(client_of: Any, writer_url: str, models: dict[str, Predictor]) -> None:
    [expected] = answer(models, "writer", TEXT, max_new_tokens=5, return_full_text=False)
    for client in (client_of("writer"), InferenceClient(writer_url, token="unused")):
        text = client.text_generation(TEXT, max_new_tokens=5, return_full_text=False)
        assert text == expected["generated_text"]
        details = client.text_generation(
            TEXT, max_new_tokens=5, details=True, decoder_input_details=True, return_full_text=False, top_n_tokens=2
        )
        assert details.generated_text == text
        assert (details.details.finish_reason, details.details.generated_tokens) == ("length", 5)
        assert len(details.details.tokens) == 5
        assert details.details.prefill[0].logprob is None


def test_text_generation_as_a_stream(client_of: Any, writer_url: str, models: dict[str, Predictor]) -> None:
    [expected] = answer(models, "writer", TEXT, max_new_tokens=5, return_full_text=False)
    for client in (client_of("writer"), InferenceClient(writer_url, token="unused")):
        parameters: dict[str, Any] = {"max_new_tokens": 5, "return_full_text": False, "stream": True}
        assert "".join(client.text_generation(TEXT, **parameters)) == expected["generated_text"]
        *_, last = client.text_generation(TEXT, details=True, **parameters)
        assert last.generated_text == expected["generated_text"]
        assert (last.details.finish_reason, last.details.generated_tokens) == ("length", 5)


def test_chat_completion(client_of: Any, writer_url: str) -> None:
    messages = [{"role": "user", "content": "What is this?"}]
    for client in (client_of("writer"), InferenceClient(writer_url, token="unused")):
        chat = client.chat_completion(messages, max_tokens=5, temperature=0, logprobs=True, top_logprobs=2)
        assert chat.choices[0].message.role == "assistant"
        assert chat.choices[0].finish_reason == "length"
        assert chat.usage.completion_tokens == 5
        assert len(chat.choices[0].logprobs.content) == 5
        chunks = list(client.chat_completion(messages, max_tokens=5, temperature=0, stream=True))
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        assert text == chat.choices[0].message.content


def test_endpoints_tell_what_they_are(client_of: Any, writer_url: str) -> None:
    assert client_of("masks").get_endpoint_info()["task"] == "fill-mask"
    alone = InferenceClient(writer_url, provider="hf-inference", token="unused")
    assert alone.get_endpoint_info()["max_total_tokens"] == 300
    assert client_of("writer").health_check()


def test_refusals_arrive_as_the_clients_errors(client_of: Any) -> None:
    with pytest.raises(ValidationError, match="max_new_tokens"):
        client_of("writer").text_generation(TEXT, max_new_tokens=1000)
    with pytest.raises(ValidationError, match="max_new_tokens"):
        list(client_of("writer").text_generation(TEXT, max_new_tokens=1000, stream=True))
    with pytest.raises(HfHubHTTPError, match="422"):
        client_of("classifier").text_classification(TEXT, top_k=0)
    with pytest.raises(BadRequestError, match="response_format"):
        client_of("writer").chat_completion(
            [{"role": "user", "content": "a"}],
            response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": {}}},
        )
