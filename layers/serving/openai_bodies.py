"""What OpenAI's clients send: the fields that a route reads itself; the others are parameters of the task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from layers.errors import InputError
from layers.runtime.tasks.task import StrictParameters
from layers.runtime.tasks.tokens import may_be_tokens
from layers.wording import kind, shown

# Only said, never done: accepted from everyone and changing nothing.
ANNOTATIONS = ("user", "metadata", "safety_identifier", "prompt_cache_key")


class StreamOptions(StrictParameters):
    """`include_usage` asks for a last chunk that counts tokens."""

    include_usage: bool = False
    include_obfuscation: Literal[False] | None = None


class Envelope(StrictParameters):
    """What completions and chats share besides the parameters of decoding."""

    model: str | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None


class TextPart(StrictParameters):
    """A part of a content that is text."""

    type: Literal["text"]
    text: str


class Prediction(StrictParameters):
    """Most of an answer as the caller expects it."""

    type: Literal["content"]
    content: str | list[TextPart]

    @property
    def text(self) -> str:
        """All of it."""
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class ChatOptions(StrictParameters):
    """What only chats have. What is not done here is refused by name, but for what asks for nothing."""

    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    logprobs: bool = False
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    tools: Annotated[list[Any], Field(max_length=0)] | None = None
    tool_choice: Literal["none", "auto"] | None = None
    parallel_tool_calls: bool | None = None
    tool_prompt: None = None
    response_format: dict[str, Any] | None = None
    prediction: Prediction | None = None
    store: Literal[False] | None = None
    service_tier: Literal["auto", "default"] | None = None
    modalities: list[Literal["text"]] | None = None
    reasoning_effort: Literal["none"] | None = None


class EmbeddingBody(StrictParameters):
    """All of an embedding request. `dimensions` keeps the first so many."""

    model: str | None = None
    input: Any
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Field(ge=1)] | None = None


@dataclass(frozen=True, slots=True)
class WritingBody:
    """A completion or a chat: what is continued, and the task's parameters."""

    envelope: Envelope
    inputs: Any
    parameters: dict[str, Any]


def read_completion(content: Mapping[str, Any]) -> WritingBody:
    """Raises InputError for a missing prompt, and for fields of the wrong type."""
    envelope, rest = _split(content, Envelope)
    if "prompt" not in rest:
        raise InputError(f"body: got the keys {shown(list(content))}, expected prompt.", parameter="prompt")
    prompt = rest.pop("prompt")
    return WritingBody(Envelope.read(envelope), prompt, rest)


def read_chat(content: Mapping[str, Any]) -> WritingBody:
    """Raises InputError for missing messages, fields of the wrong type, and what is not done here."""
    envelope, rest = _split(content, Envelope)
    stated, rest = _split(rest, ChatOptions)
    if "messages" not in rest:
        raise InputError(f"body: got the keys {shown(list(content))}, expected messages.", parameter="messages")
    messages, options = rest.pop("messages"), ChatOptions.read(stated)
    form = (options.response_format or {"type": "text"}).get("type")
    if form != "text":
        raise InputError(
            f"parameter 'response_format': got type {shown(form)}, expected text: no grammar is enforced here.",
            parameter="response_format",
        )
    if options.max_completion_tokens is not None:
        if rest.get("max_tokens") is not None:
            raise InputError("parameters contradict each other: send max_completion_tokens or max_tokens, not both.")
        rest["max_tokens"] = options.max_completion_tokens
    if options.top_logprobs is not None and not options.logprobs:
        raise InputError("parameter 'top_logprobs': got a number without logprobs: true.", parameter="top_logprobs")
    if options.logprobs:
        rest["logprobs"] = options.top_logprobs or 0
    if options.prediction is not None:
        rest["prediction"] = options.prediction.text
    return WritingBody(Envelope.read(envelope), messages, rest)


def read_embedding(content: Mapping[str, Any]) -> EmbeddingBody:
    """Raises InputError for a missing input, and for fields that are unknown or of the wrong type."""
    if "input" not in content:
        raise InputError(f"body: got the keys {shown(list(content))}, expected input.", parameter="input")
    return EmbeddingBody.read({name: value for name, value in content.items() if name not in ANNOTATIONS})


def read_input(value: Any) -> Any:
    """The texts or token ids of an embedding request. Raises InputError (400 at the route) for anything else."""
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not (all(isinstance(text, str) for text in texts) or may_be_tokens(texts)):
        raise InputError(
            f"input: got {kind(value)}, expected a string, a list of strings, or token ids.", parameter="input"
        )
    return texts


def _split(content: Mapping[str, Any], fields: type[BaseModel]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What `fields` names and what it does not. A null is as good as nothing, as OpenAI has it."""
    stated = {name: value for name, value in content.items() if value is not None and name not in ANNOTATIONS}
    known = {name: value for name, value in stated.items() if name in fields.model_fields}
    return known, {name: value for name, value in stated.items() if name not in known}
