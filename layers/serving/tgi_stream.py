"""Streamed text as text-generation-inference sends it (`router/src/lib.rs` there: StreamResponse)."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import closing
from typing import Any

from layers.errors import InputError
from layers.runtime.run import NamedToken, StreamEnd, StreamEvent
from layers.serving.answering import StreamShape
from layers.serving.event_stream import server_sent
from layers.serving.failures import FAILED


def tgi_stream(parameters: Mapping[str, Any]) -> StreamShape:
    """One event a token; the last has the whole text, and `details` where `parameters` ask for them.

    An error in their midst is a last event {"error", "error_type"}.
    """
    details, top_tokens = parameters.get("details") is True, parameters.get("top_n_tokens") is not None

    def events(tokens: Generator[StreamEvent]) -> Generator[bytes]:
        with closing(tokens):
            for event in tokens:
                yield server_sent(_event(event, details=details, top_tokens=top_tokens))

    return StreamShape(events, _failed)


def _event(event: StreamEvent, *, details: bool, top_tokens: bool) -> dict[str, Any]:
    token = {"id": event.token, "text": event.token_text, "logprob": event.logprob, "special": event.special}
    return {
        "index": event.index,
        "token": token,
        **({"top_tokens": [_top_token(other) for other in event.top]} if top_tokens else {}),
        "generated_text": event.end.generated_text if event.end else None,
        "details": _details(event.end) if event.end and details else None,
    }


def _top_token(token: NamedToken) -> dict[str, Any]:
    return {"id": token.token, "text": token.text, "logprob": token.logprob, "special": token.special}


def _details(end: StreamEnd) -> dict[str, Any]:
    return {
        "finish_reason": end.finish_reason,
        "generated_tokens": end.generated_tokens,
        "input_length": end.input_length,
        "seed": end.seed,
    }


def _failed(error: Exception) -> bytes:
    if isinstance(error, InputError):
        return server_sent({"error": str(error), "error_type": error.error_type})
    return server_sent({"error": FAILED, "error_type": "incomplete_generation"})
