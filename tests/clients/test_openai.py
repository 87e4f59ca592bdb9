"""OpenAI's own client."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest

from layers.errors import InputError
from layers.runtime.predictor import Predictor
from layers.runtime.settings import Settings
from layers.serving.application import create_app
from tests.serving.live_server import live

TEXT = "an editor for text"
MESSAGES: list[Any] = [{"role": "user", "content": "What is this?"}]


def connect(url: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{url}/v1", api_key="unused", max_retries=0)


@pytest.fixture(scope="module")
def client(url: str) -> openai.OpenAI:
    return connect(url)


def test_embeddings(client: openai.OpenAI, models: dict[str, Predictor]) -> None:
    expected = models["sentences"].predict([TEXT, "net"]).value
    for encoding in ({}, {"encoding_format": "float"}, {"encoding_format": "base64"}):
        answer = client.embeddings.create(model="sentences", input=[TEXT, "net"], **encoding)  # type: ignore[call-overload]
        vectors = [entry.embedding for entry in answer.data]
        if encoding.get("encoding_format") == "base64":
            from base64 import b64decode

            vectors = [np.frombuffer(b64decode(vector), dtype="<f4") for vector in vectors]
        np.testing.assert_allclose(vectors, expected, rtol=1e-6)
        assert answer.usage.prompt_tokens == answer.usage.total_tokens > 0
    assert len(client.embeddings.create(model="encoder", input=TEXT, dimensions=3).data[0].embedding) == 3


def test_completions(client: openai.OpenAI, models: dict[str, Predictor]) -> None:
    [expected] = models["writer"].predict(TEXT, {"max_new_tokens": 5, "return_full_text": False}).value
    answer = client.completions.create(model="writer", prompt=TEXT, max_tokens=5, temperature=0, logprobs=2)
    [choice] = answer.choices
    assert (choice.text, choice.finish_reason) == (expected["generated_text"], "length")
    assert choice.logprobs is not None
    assert len(choice.logprobs.tokens or []) == 5
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 5
    chunks = list(client.completions.create(model="writer", prompt=TEXT, max_tokens=5, temperature=0, stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == choice.text


def test_chats(client: openai.OpenAI) -> None:
    wanted: dict[str, Any] = {"model": "writer", "messages": MESSAGES, "max_completion_tokens": 5, "temperature": 0}
    answer = client.chat.completions.create(**wanted)
    [choice] = answer.choices
    assert choice.message.role == "assistant"
    assert choice.finish_reason == "length"
    chunks = list(client.chat.completions.create(**wanted, stream=True, stream_options={"include_usage": True}))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == choice.message.content
    assert chunks[-1].usage == answer.usage
    predicted = client.chat.completions.create(**wanted, prediction={"type": "content", "content": text})
    assert predicted.choices == answer.choices


def test_models(client: openai.OpenAI, models: dict[str, Predictor]) -> None:
    assert [model.id for model in client.models.list()] == list(models)
    assert client.models.retrieve("writer").id == "writer"


def test_errors_are_the_clients_own(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as wrong:
        client.completions.create(model="writer", prompt=TEXT, max_tokens=1000)
    assert wrong.value.param == "max_tokens"
    with pytest.raises(openai.BadRequestError, match="unknown parameter 'best_of'"):
        client.completions.create(model="writer", prompt=TEXT, best_of=2)
    with pytest.raises(openai.NotFoundError) as missing:
        client.embeddings.create(model="bert", input=TEXT)
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError):
        client.images.generate(prompt="a house")


class FailingPredictor(Predictor):
    """Busy for one text, broken for any other."""

    def predict(self, inputs: Any, *_: Any, **__: Any) -> Any:
        if inputs == ["busy"]:
            raise InputError("the model is busy.", status=429, error_type="overloaded")
        raise ZeroDivisionError


def test_a_busy_model_and_a_broken_one_are_told_apart(models: dict[str, Predictor]) -> None:
    broken = FailingPredictor(models["sentences"].engine)
    with live(create_app({"sentences": broken}, Settings(artifact_dir=Path("unused")))) as address:
        with pytest.raises(openai.RateLimitError) as busy:
            connect(address).embeddings.create(model="any", input="busy")
        assert busy.value.response.headers["retry-after"] == "1"
        with pytest.raises(openai.InternalServerError):
            connect(address).embeddings.create(model="any", input=TEXT)
