"""completion: a prompt continued in OpenAI's sense, for `/v1/completions` and, behind a chat template, chats.

Unlike text-generation: tokens are drawn unless `temperature` is 0, the stop string is no part of the text, and prompts
may be token ids.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
from pydantic import Field, field_validator

from layers.errors import InputError
from layers.runtime.generation.continuation import Continuation, Prompt
from layers.runtime.generation.options import DecodingOptions, FinishReason
from layers.runtime.run import NamedToken, Run, StreamEvent, named
from layers.runtime.tasks.decoding import Count, DecodingParameters
from layers.runtime.tasks.task import Task, built_for
from layers.runtime.tasks.text_generation import read_prompts
from layers.runtime.tasks.tokens import are_tokens
from layers.wording import kind

DEFAULT_NEW_TOKENS = 16
MAX_CHOICES = 16
FINISHES: dict[FinishReason, str] = {"length": "length", "eos_token": "stop", "stop_sequence": "stop"}


class CompletionParameters(DecodingParameters):
    """OpenAI's names, and text-generation's for what OpenAI has none for.

    `max_tokens` null is what fits. `logprobs` asks for each token's, and for so many of the likeliest at its place.
    `prediction` is a text that may well be written, which is then sooner done.
    """

    max_tokens: Count | None = DEFAULT_NEW_TOKENS
    n: Annotated[int, Field(ge=1, le=MAX_CHOICES)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    seed: int | None = None
    logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    echo: bool = False
    return_full_text: bool | None = None
    add_special_tokens: bool = True
    prediction: str | None = None
    logit_bias: Annotated[dict[str, float], Field(max_length=0)] | None = None
    num_beams: Annotated[int, Field(ge=1, le=1)] | None = None
    num_return_sequences: Annotated[int, Field(ge=1, le=1)] | None = None

    @field_validator("stop", mode="before")
    @classmethod
    def _one_stop(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @property
    def echoed(self) -> bool:
        """Whether the prompt is part of the text, by either name."""
        return self.echo or bool(self.return_full_text)

    def decoding(self) -> DecodingParameters:
        """In text-generation's terms, but for how many tokens and texts."""
        stated = self.model_dump(include=set(DecodingParameters.model_fields), exclude_none=True)
        for name in ("max_new_tokens", "max_length", "num_return_sequences"):
            stated.pop(name, None)
        if self.seed is not None:
            # OpenAI's seeds may be negative.
            stated["seed"] = self.seed % 2**63
        if self.temperature == 0:
            # text-generation has no such temperature, which is that of no sampling.
            stated = {name: value for name, value in stated.items() if name != "temperature"} | {"do_sample": False}
        return DecodingParameters.read({"do_sample": True, **stated, "num_beams": 1})


@dataclass(frozen=True, slots=True)
class Asked:
    """One prompt, with what stands before its continuations and how each of them is written."""

    prompt: Prompt
    text: str
    options: tuple[DecodingOptions, ...]


def answer(run: Run, inputs: Any, parameters: Mapping[str, Any]) -> list[Any]:
    """A list of choices a prompt, each {"text", "finish_reason", "tokens"}; `tokens` null unless asked for."""
    return answer_with(run, inputs, CompletionParameters.read(parameters))


def answer_with(run: Run, inputs: Any, wanted: CompletionParameters) -> list[Any]:
    """`answer` to parameters that have been read."""
    asked = _ask(run, inputs, wanted)
    if wanted.max_tokens == 0:
        if not wanted.echoed:
            raise InputError("parameter 'max_tokens': got 0 without echo, expected 1 or more.", parameter="max_tokens")
        nothing = Continuation(finish="length")
        return [[_choice(run, one, nothing, wanted)] * len(one.options) for one in asked]
    if len(asked[0].options) > 1:
        texts = [run.branch(one.prompt, one.options) for one in asked]
    else:
        texts = run.generate([one.prompt for one in asked], [one.options[0] for one in asked])
    return [[_choice(run, one, text, wanted) for text in several] for one, several in zip(asked, texts, strict=True)]


def stream(run: Run, inputs: Any, parameters: Mapping[str, Any]) -> Generator[StreamEvent]:
    """The same, token by token, for one prompt; a choice is a row."""
    return stream_with(run, inputs, CompletionParameters.read(parameters))


def stream_with(run: Run, inputs: Any, wanted: CompletionParameters) -> Generator[StreamEvent]:
    """`stream` to parameters that have been read."""
    if isinstance(inputs, list) and not are_tokens(inputs) and len(inputs) > 1:
        raise InputError(f"prompt: got {len(inputs)} prompts with stream, expected 1.", parameter="prompt")
    asked = _ask(run, inputs, wanted)
    if wanted.echoed or wanted.max_tokens == 0:
        raise InputError("echo: got true with stream, expected false.", parameter="echo")
    return run.stream(asked[0].prompt, asked[0].options)


def _ask(run: Run, inputs: Any, wanted: CompletionParameters) -> list[Asked]:
    decoding, count = wanted.decoding(), wanted.n or 1
    asked: list[Asked] = []
    predicted = run.predicted(wanted.prediction) if wanted.prediction else None
    for prompt, text in _prompts(run, inputs, wanted):
        room = run.writer.room(prompt)
        options = decoding.options(
            run.writer.generation,
            len(prompt.tokens),
            room,
            default_new_tokens=room,
            logprobs=wanted.logprobs is not None,
            top_tokens=wanted.logprobs or 0,
            keep_stop=False,
        )
        options = replace(options, max_new_tokens=_new_tokens(run, prompt, wanted, room))
        prompt = replace(prompt, predicted=predicted)
        asked.append(Asked(prompt, text, tuple(replace(options, seed=options.seed + row) for row in range(count))))
    return asked


def _new_tokens(run: Run, prompt: Prompt, wanted: CompletionParameters, room: int) -> int:
    if wanted.max_length is not None:
        raise InputError("parameter 'max_length': expected max_tokens instead.", parameter="max_length")
    stated = wanted.max_tokens if "max_tokens" in wanted.model_fields_set else wanted.max_new_tokens
    if wanted.max_new_tokens is not None and "max_tokens" in wanted.model_fields_set:
        raise InputError("parameters contradict each other: send max_tokens or max_new_tokens, not both.")
    if stated is None:
        fitting = run.writer.unasked_room(prompt, wanted.n or 1)
        return fitting if "max_tokens" in wanted.model_fields_set else min(DEFAULT_NEW_TOKENS, fitting)
    if stated > room:
        raise InputError(
            f"parameter 'max_tokens': got {stated} after {len(prompt.tokens)} tokens of prompt, expected at most "
            f"{room}.",
            parameter="max_tokens",
        )
    return max(stated, 1)


def _prompts(run: Run, inputs: Any, wanted: CompletionParameters) -> list[tuple[Prompt, str]]:
    """Every prompt with the text that an echo repeats. Raises InputError for what is neither text nor tokens."""
    several = isinstance(inputs, list) and not are_tokens(inputs)
    items = inputs if several else [inputs]
    run.admit(len(items))
    prompts: list[tuple[Prompt, str]] = []
    for item in items:
        if isinstance(item, str):
            [prompt] = read_prompts(run, [item], add_special_tokens=wanted.add_special_tokens)
            prompts.append((prompt, item))
        elif are_tokens(item):
            prompts.append((_from_tokens(run, item), run.writer.detokenizer.decode(item)))
        else:
            raise InputError(
                f"prompt: got {kind(item)}{' in a list' if several else ''}, expected a string, a list of strings, "
                "a list of token ids or a list of such lists.",
                parameter="prompt",
            )
    return prompts


def _from_tokens(run: Run, tokens: Sequence[int]) -> Prompt:
    vocabulary = run.writer.generation.vocabulary
    for token in tokens:
        if not 0 <= token < vocabulary:
            raise InputError(f"prompt: got token {token}, expected 0 to {vocabulary - 1}.", parameter="prompt")
    run.count_tokens(len(tokens))
    return Prompt(np.array(tokens, dtype=np.int64))


def _choice(run: Run, asked: Asked, continuation: Continuation, wanted: CompletionParameters) -> dict[str, Any]:
    tokens = None
    if wanted.logprobs is not None:
        detokenizer = run.writer.detokenizer
        echoed = _echoed(run, asked.prompt) if wanted.echoed else []
        tokens = echoed + [
            token_details(
                detokenizer.token_text(event.token) if event.special else event.text,
                event.logprob,
                named(event.top, detokenizer),
            )
            for event in continuation.events
        ]
    return {
        "text": (asked.text if wanted.echoed else "") + continuation.text,
        "finish_reason": FINISHES[continuation.finish],
        "tokens": tokens,
    }


def token_details(text: str, logprob: float | None, top: Sequence[NamedToken]) -> dict[str, Any]:
    """A token as the routes read it."""
    return {"text": text, "logprob": logprob, "top": [{"text": one.text, "logprob": one.logprob} for one in top]}


def _echoed(run: Run, prompt: Prompt) -> list[dict[str, Any]]:
    """The prompt's tokens; the first has no log probability, since nothing stands before it."""
    logprobs = [None, *run.writer.score(prompt).tolist()]
    texts = [run.writer.detokenizer.token_text(token) for token in prompt.tokens.tolist()]
    return [token_details(text, logprob, ()) for text, logprob in zip(texts, logprobs, strict=True)]


TASK = Task(answer, served_by=built_for("text-generation"), stream=stream)
