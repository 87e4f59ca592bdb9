"""tokenize and decode: texts to the model's tokens and back, as TEI's `/tokenize` and `/decode` answer them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from layers.errors import InputError
from layers.runtime.run import Run
from layers.runtime.tasks.task import StrictParameters, Task, read_texts
from layers.wording import kind


class TokenizeParameters(StrictParameters):
    """Nothing is cut."""

    add_special_tokens: bool = True
    prompt_name: None = None


class DecodeParameters(StrictParameters):
    """Special tokens are left out unless `skip_special_tokens` is false."""

    skip_special_tokens: bool = True


def tokenize(run: Run, inputs: Any, parameters: Mapping[str, Any]) -> list[Any]:
    """A list a text of {"id", "text", "special", "start", "stop"}; offsets in characters, null of special tokens."""
    options = TokenizeParameters.read(parameters)
    texts, _ = read_texts(inputs)
    run.admit(len(texts))
    return [run.tokens(text, add_special_tokens=options.add_special_tokens) for text in texts]


def decode(run: Run, inputs: Any, parameters: Mapping[str, Any]) -> list[str]:
    """A text for a list of ids, or one for each list in a list. Raises InputError for ids that are none."""
    options = DecodeParameters.read(parameters)
    lists = read_token_lists(inputs, "ids")
    run.admit(len(lists))
    run.count_tokens(sum(map(len, lists)))
    return [run.decode(ids, skip_special_tokens=options.skip_special_tokens) for ids in lists]


def read_token_lists(value: Any, name: str) -> list[list[int]]:
    """[int] or [[int]] as the latter. Raises InputError (422)."""
    if not isinstance(value, list):
        raise InputError(f"{name}: got {kind(value)}, expected a list of token ids or a list of such lists.")
    lists = value if value and all(isinstance(item, list) for item in value) else [value]
    for ids in lists:
        for token in ids:
            if type(token) is not int:
                raise InputError(f"{name}: got {kind(token)} among token ids, expected whole numbers.")
    return lists


def read_texts_or_tokens(run: Run, inputs: Any) -> list[str]:
    """A text or a list of texts; of [int] or [[int]] the texts that they are tokens of, as TEI and OpenAI take them.

    Special tokens are left out: they come back when the text is encoded, which is also when tokens are counted.
    Raises InputError as its parts.
    """
    if not may_be_tokens(inputs):
        texts, _ = read_texts(inputs)
        run.admit(len(texts))
        return texts
    lists = read_token_lists(inputs, "ids")
    run.admit(len(lists))
    run.bound_tokens(sum(map(len, lists)))
    return [run.decode(ids) for ids in lists]


def may_be_tokens(value: Any) -> bool:
    """Whether it is [int] or [[int]], and not empty."""
    return are_tokens(value) or (isinstance(value, list) and bool(value) and all(map(are_tokens, value)))


def are_tokens(value: Any) -> bool:
    """Whether it is [int], and not empty."""
    return isinstance(value, list) and bool(value) and all(type(token) is int for token in value)


def _every_model(_: Any) -> bool:
    return True


TOKENIZE = Task(tokenize, served_by=_every_model)
DECODE = Task(decode, served_by=_every_model)
