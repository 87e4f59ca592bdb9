"""Predictions in the shapes of OpenAI's API: lists, completions, chats, and their chunks."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from contextlib import closing
from secrets import token_hex
from typing import Any

from layers.errors import InputError
from layers.runtime.predictor import Predictor
from layers.runtime.run import Prediction, StreamEvent
from layers.runtime.tasks.completion import FINISHES, token_details
from layers.serving.answering import StreamShape
from layers.serving.event_stream import server_sent
from layers.serving.failures import FAILED
from layers.serving.openai_error import openai_error

DONE = b"data: [DONE]\n\n"
Tokens = Sequence[dict[str, Any]]


def embeddings(prediction: Prediction, model: str) -> dict[str, Any]:
    """{"object": "list", "data", "model", "usage"}."""
    data = [
        {"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(prediction.value)
    ]
    usage = {"prompt_tokens": prediction.token_count, "total_tokens": prediction.token_count}
    return {"object": "list", "data": data, "model": model, "usage": usage}


class Completions:
    """The shapes of `/v1/completions`."""

    prefix, whole, chunk = "cmpl", "text_completion", "text_completion"

    def __init__(self, predictor: Predictor) -> None:
        manifest = predictor.manifest
        self._fields = {
            "id": f"{self.prefix}-{token_hex(12)}",
            "created": int(time.time()),
            "model": manifest.name,
            "system_fingerprint": f"fp_{manifest.digest[:12]}",
        }

    def answer(self, prediction: Prediction) -> dict[str, Any]:
        """Choices of every prompt in a row, and what they took."""
        choices = [choice for several in prediction.value for choice in several]
        return {
            **self._fields,
            "object": self.whole,
            "choices": [self._choice(index, choice) for index, choice in enumerate(choices)],
            "usage": usage(prediction.token_count, prediction.generated_tokens),
        }

    def stream(self, *, logprobs: bool, include_usage: bool, choices: int) -> StreamShape:
        """A chunk a token, then what they took where it was asked for, then [DONE]."""

        def events(tokens: Generator[StreamEvent]) -> Generator[bytes]:
            prompt_tokens = generated = 0
            lengths = [0] * choices

            def chunk(several: list[dict[str, Any]], more: dict[str, Any]) -> bytes:
                return server_sent({**self._fields, "object": self.chunk, "choices": several, **more})

            no_usage: dict[str, Any] = {"usage": None} if include_usage else {}
            with closing(tokens):
                for choice in self._openings(choices):
                    yield chunk([choice], no_usage)
                for event in tokens:
                    details = [token_details(event.token_text, event.logprob, event.top)] if logprobs else None
                    for choice in self._parts(event, details, lengths[event.row]):
                        yield chunk([choice], no_usage)
                    lengths[event.row] += len(event.token_text)
                    if event.end:
                        prompt_tokens, generated = event.end.input_length, generated + event.end.generated_tokens
            if include_usage:
                yield chunk([], {"usage": usage(prompt_tokens, generated)})
            yield DONE

        return StreamShape(events, _failed)

    def _choice(self, index: int, choice: dict[str, Any]) -> dict[str, Any]:
        logprobs = None if choice["tokens"] is None else legacy_logprobs(choice["tokens"], 0)
        return {
            "index": index, "text": choice["text"], "logprobs": logprobs, "finish_reason": choice["finish_reason"],
        }  # fmt: skip

    def _openings(self, choices: int) -> list[dict[str, Any]]:  # noqa: ARG002
        return []

    def _parts(self, event: StreamEvent, tokens: Tokens | None, offset: int) -> list[dict[str, Any]]:
        finish = FINISHES[event.end.finish_reason] if event.end else None
        if not (event.text or tokens or finish):
            return []
        logprobs = None if tokens is None else legacy_logprobs(tokens, offset)
        return [{"index": event.row, "text": event.text, "logprobs": logprobs, "finish_reason": finish}]


class Chats(Completions):
    """The shapes of `/v1/chat/completions`."""

    prefix, whole, chunk = "chatcmpl", "chat.completion", "chat.completion.chunk"

    def _choice(self, index: int, choice: dict[str, Any]) -> dict[str, Any]:
        return {
            "index": index,
            "message": {"role": "assistant", "content": choice["text"], "refusal": None},
            "logprobs": None if choice["tokens"] is None else chat_logprobs(choice["tokens"]),
            "finish_reason": choice["finish_reason"],
        }

    def _openings(self, choices: int) -> list[dict[str, Any]]:
        return [_delta(row, {"role": "assistant", "content": ""}) for row in range(choices)]

    def _parts(self, event: StreamEvent, tokens: Tokens | None, offset: int) -> list[dict[str, Any]]:  # noqa: ARG002
        parts: list[dict[str, Any]] = []
        if event.text or tokens:
            logprobs = None if tokens is None else chat_logprobs(tokens)
            parts.append(_delta(event.row, {"content": event.text}, logprobs))
        if event.end:
            parts.append(_delta(event.row, {}, finish=FINISHES[event.end.finish_reason]))
        return parts


def _delta(
    index: int, delta: dict[str, Any], logprobs: dict[str, Any] | None = None, finish: str | None = None
) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}


def usage(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    """What a request took."""
    total = prompt_tokens + completion_tokens
    return {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens, "total_tokens": total}


def legacy_logprobs(tokens: Tokens, offset: int) -> dict[str, Any]:
    """As completions have them; offsets count characters of the text, from `offset` on."""
    offsets: list[int] = []
    for token in tokens:
        offsets.append(offset)
        offset += len(token["text"])
    return {
        "tokens": [token["text"] for token in tokens],
        "token_logprobs": [token["logprob"] for token in tokens],
        "top_logprobs": [{one["text"]: one["logprob"] for one in token["top"]} or None for token in tokens],
        "text_offset": offsets,
    }


def chat_logprobs(tokens: Tokens) -> dict[str, Any]:
    """As chats have them."""
    return {
        "content": [{**_named(token), "top_logprobs": [_named(one) for one in token["top"]]} for token in tokens],
        "refusal": None,
    }


def _named(token: dict[str, Any]) -> dict[str, Any]:
    return {"token": token["text"], "logprob": token["logprob"], "bytes": list(token["text"].encode("utf-8"))}


def _failed(error: Exception) -> bytes:
    if isinstance(error, InputError):
        return server_sent(openai_error(str(error), error.error_type, error.parameter))
    return server_sent(openai_error(FAILED, "internal"))
