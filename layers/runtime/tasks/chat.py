"""chat: messages, through the checkpoint's chat template, and the assistant's next one as a completion."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

from layers.errors import InputError
from layers.runtime.chat_template import Message, render_chat, tells_time
from layers.runtime.run import Run, StreamEvent
from layers.runtime.tasks.completion import CompletionParameters, answer_with, stream_with
from layers.runtime.tasks.task import Task, built_for
from layers.wording import kind, shown


def answer(run: Run, inputs: Any, parameters: Mapping[str, Any]) -> list[Any]:
    """As completion, for one prompt; `max_tokens` defaults to what fits."""
    return answer_with(run, _prompt(run, inputs), _read(parameters))


def stream(run: Run, inputs: Any, parameters: Mapping[str, Any]) -> Generator[StreamEvent]:
    """The same, token by token."""
    return stream_with(run, _prompt(run, inputs), _read(parameters))


def _read(parameters: Mapping[str, Any]) -> CompletionParameters:
    for name in ("echo", "return_full_text", "add_special_tokens"):
        if name in parameters:
            raise InputError(f"unknown parameter {name!r}: a chat has none.", parameter=name)
    unasked = {} if "max_new_tokens" in parameters else {"max_tokens": None}
    # The template has written the special tokens.
    return CompletionParameters.read({**unasked, **parameters, "add_special_tokens": False})


def _prompt(run: Run, inputs: Any) -> str:
    generation = run.writer.generation
    if generation.chat_template is None:
        raise InputError(
            f"{run.manifest.name} has no chat template: its checkpoint states none. POST /v1/completions instead."
        )
    if tells_time(generation.chat_template):
        run.depends_on_more()
    name = run.writer.detokenizer.token_text
    by_id = {"bos_token": generation.bos_token_id, "eos_token": next(iter(generation.eos_token_ids), None)}
    special = {key: name(token) for key, token in by_id.items() if token is not None}
    return render_chat(generation.chat_template, read_messages(inputs), {**special, **generation.special_tokens})


def read_messages(inputs: Any) -> list[Message]:
    """Messages with their contents as one text. Raises InputError (422) for anything but text."""
    if not isinstance(inputs, list) or not inputs:
        raise InputError(
            f"messages: got {kind(inputs)}, expected a list of at least one message.", parameter="messages"
        )
    return [_message(position, message) for position, message in enumerate(inputs)]


def _message(position: int, message: Any) -> Message:
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        raise InputError(
            f"messages[{position}]: got {shown(message)}, expected an object with role and content.",
            parameter="messages",
        )
    return {**message, "content": _content(position, message.get("content"))}


def _content(position: int, content: Any) -> str:
    """OpenAI's content is a text, or a list of parts, of which those of type text can be read here."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise InputError(
            f"messages[{position}].content: got {kind(content)}, expected a string or a list of parts.",
            parameter="messages",
        )
    texts: list[str] = []
    for part in content:
        text = part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None
        if not isinstance(text, str):
            raise InputError(
                f'messages[{position}].content: got {shown(part)}, expected {{"type": "text", "text": ...}}.',
                parameter="messages",
            )
        texts.append(text)
    return "".join(texts)


TASK = Task(answer, served_by=built_for("text-generation"), stream=stream)
