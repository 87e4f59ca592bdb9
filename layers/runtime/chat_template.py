"""Chats as prompts: a checkpoint's Jinja template, rendered in a sandbox as transformers renders it.

The template is the checkpoint's and the messages are the caller's, so neither is trusted: attributes that begin with an
underscore, and methods that change what they are called on, are out of reach.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from layers.errors import InputError

if TYPE_CHECKING:
    from jinja2 import Template

Message = Mapping[str, Any]

# What templates call the function that writes the time of now.
TIME = "strftime_now"
# What a template raises over messages that it was not written for.
REFUSALS = (TypeError, ValueError, LookupError, ArithmeticError, AttributeError, RecursionError)


def tells_time(template: str) -> bool:
    """Whether a chat is another prompt tomorrow."""
    return TIME in template


def render_chat(template: str, messages: Sequence[Message], special_tokens: Mapping[str, str]) -> str:
    """The prompt that the next message of the assistant continues; it holds the special tokens already.

    `special_tokens` are known to the template by name (`bos_token`, ...). Raises InputError (422) for messages that the
    template refuses.
    """
    from jinja2 import TemplateError

    try:
        return _compiled(template).render(
            # Keys that are null are none, as there: what a template finds defined it writes, "None" too.
            messages=[{key: value for key, value in message.items() if value is not None} for message in messages],
            tools=None,
            documents=None,
            add_generation_prompt=True,
            **special_tokens,
        )
    except (TemplateError, *REFUSALS) as error:
        raise InputError(f"messages: the model's chat template refuses them: {error}", parameter="messages") from error


@lru_cache(maxsize=64)
def _compiled(template: str) -> Template:
    # Imported here: only chats need it, and it takes 20 ms of a start.
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", _generation_blocks()]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _refuse
    environment.globals[TIME] = lambda form: datetime.now().strftime(form)
    return environment.from_string(template)


def _generation_blocks() -> Any:
    """`{% generation %}` marks what the assistant wrote, for training; rendered, it is its content."""
    from jinja2 import nodes
    from jinja2.ext import Extension

    class GenerationBlocks(Extension):
        tags = {"generation"}  # noqa: RUF012  # jinja2 reads it from the class

        def parse(self, parser: Any) -> nodes.Node:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.Scope(body).set_lineno(line)

    return GenerationBlocks


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """jinja2's own escapes what HTML would misread; a prompt is no HTML."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _refuse(message: str) -> None:
    from jinja2 import TemplateError

    raise TemplateError(message)
