"""text-generation: a prompt continued, as the hosted API and text-generation-inference answer it.

`return_full_text` is true unless said otherwise, as at `POST /` of text-generation-inference and in transformers'
pipeline. The stop string that ended a text is part of it, as in text-generation-inference. A text that ends with an
end token at its last permitted place is reported as "eos_token", where text-generation-inference says "length".
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from layers.errors import InputError
from layers.runtime.generation.continuation import Continuation, Prompt
from layers.runtime.generation.options import DecodingOptions
from layers.runtime.run import Run, StreamEvent, named
from layers.runtime.tasks.decoding import DecodingParameters, Positive
from layers.runtime.tasks.task import Task, built_for, read_texts
from layers.wording import kind

# text-generation-inference's default.
DEFAULT_NEW_TOKENS = 100
# Nothing is truncated unasked; this only keeps a text from being cut before its length is judged.
UNLIMITED = 2**31


class TextGenerationParameters(DecodingParameters):
    """`truncate` keeps that many tokens of the prompt's end. `best_of` samples so many and gives the likeliest."""

    return_full_text: bool = True
    truncate: Positive | None = None
    details: bool = False
    decoder_input_details: bool = False
    top_n_tokens: Annotated[int, Field(ge=1, le=5)] | None = None
    best_of: Annotated[int, Field(ge=1, le=8)] | None = None
    watermark: Literal[False] | None = None
    grammar: None = None
    adapter_id: None = None


def answer(run: Run, inputs: Any, parameters: Mapping[str, Any]) -> list[Any]:
    """[{"generated_text"}] for a prompt, a list of those for a list; with "details" where they were asked for."""
    wanted = TextGenerationParameters.read(parameters)
    texts, is_list = read_texts(inputs)
    run.admit(len(texts))
    prompts = read_prompts(run, texts, kept_tokens=wanted.truncate)
    options = [_options(run, prompt, wanted) for prompt in prompts]
    if wanted.decoder_input_details and not wanted.details:
        raise InputError("parameter 'decoder_input_details': got true without details: true, which carries it.")
    if (wanted.best_of or 1) > 1:
        answers = [_best(run, prompt, own, wanted) for prompt, own in zip(prompts, options, strict=True)]
    elif options[0].num_return_sequences > 1 and options[0].do_sample:
        answers = [
            run.branch(prompt, seeds(own, own.num_return_sequences))
            for prompt, own in zip(prompts, options, strict=True)
        ]
    else:
        answers = run.generate(prompts, options)
    results = [
        [_result(run, text, prompt, own, one, wanted) for one in several]
        for text, prompt, own, several in zip(texts, prompts, options, answers, strict=True)
    ]
    return results if is_list else results[0]


def stream(run: Run, inputs: Any, parameters: Mapping[str, Any]) -> Generator[StreamEvent]:
    """The same, token by token, for one prompt."""
    wanted = TextGenerationParameters.read(parameters)
    if not isinstance(inputs, str):
        raise InputError(f"inputs: got {kind(inputs)} with stream, expected a string.")
    if (wanted.best_of or 1) > 1 or (wanted.num_return_sequences or 1) > 1:
        raise InputError("best_of and num_return_sequences: got more than 1 with stream, expected 1.")
    [prompt] = read_prompts(run, [inputs], kept_tokens=wanted.truncate)
    options = replace(_options(run, prompt, wanted), logprobs=True)
    return run.stream(prompt, [options], inputs if wanted.return_full_text else "")


def seeds(options: DecodingOptions, count: int) -> list[DecodingOptions]:
    """The options so many times, each with a seed of its own."""
    return [replace(options, seed=options.seed + place) for place in range(count)]


def read_prompts(
    run: Run, texts: Sequence[str], *, kept_tokens: int | None = None, add_special_tokens: bool = True
) -> list[Prompt]:
    """Encode prompts, and begin an empty one. Nothing is cut, unless `kept_tokens` says how much of the end is kept."""
    encodings = run.encode(
        [(text, None) for text in texts],
        truncation_direction="left",
        max_tokens=kept_tokens or UNLIMITED,
        add_special_tokens=add_special_tokens,
    )
    prompts: list[Prompt] = []
    for encoding in encodings:
        tokens = encoding.input_ids
        if not len(tokens):
            start = run.writer.generation.bos_token_id
            if start is None:
                raise InputError(
                    "inputs: got an empty text, expected at least one token: this model has none to begin."
                )
            tokens = np.array([start], dtype=np.int64)
        prompts.append(Prompt(tokens))
    return prompts


def _options(run: Run, prompt: Prompt, wanted: TextGenerationParameters) -> DecodingOptions:
    count = len(prompt.tokens)
    return wanted.options(
        run.writer.generation,
        count,
        run.writer.room(prompt),
        default_new_tokens=DEFAULT_NEW_TOKENS,
        logprobs=wanted.details or (wanted.best_of or 1) > 1,
        top_tokens=wanted.top_n_tokens or 0,
    )


def _best(run: Run, prompt: Prompt, options: DecodingOptions, wanted: TextGenerationParameters) -> list[Continuation]:
    if not options.do_sample or options.num_return_sequences > 1:
        raise InputError(f"parameter 'best_of': got {wanted.best_of} without sampling one text. Send do_sample: true.")
    texts = run.branch(prompt, seeds(options, wanted.best_of or 1))
    return [max(texts, key=lambda text: float(np.mean([event.logprob or 0.0 for event in text.events])))]


def _result(
    run: Run,
    text: str,
    prompt: Prompt,
    options: DecodingOptions,
    continuation: Continuation,
    wanted: TextGenerationParameters,
) -> dict[str, Any]:
    result: dict[str, Any] = {"generated_text": (text if wanted.return_full_text else "") + continuation.text}
    if not wanted.details:
        return result
    name = run.writer.detokenizer.token_text
    details: dict[str, Any] = {
        "finish_reason": continuation.finish,
        "generated_tokens": continuation.token_count,
        "seed": options.seed if options.do_sample else None,
        "prefill": _prefill(run, prompt) if wanted.decoder_input_details else [],
        "tokens": [
            {
                "id": event.token,
                "text": name(event.token) if event.special else event.text,
                "logprob": event.logprob,
                "special": event.special,
            }
            for event in continuation.events
        ],
    }
    if wanted.top_n_tokens:
        details["top_tokens"] = [
            [
                {"id": other.token, "text": other.text, "logprob": other.logprob, "special": other.special}
                for other in named(event.top, run.writer.detokenizer)
            ]
            for event in continuation.events
        ]
    return result | {"details": details}


def _prefill(run: Run, prompt: Prompt) -> list[dict[str, Any]]:
    """The prompt's tokens; the first has no log probability, since nothing stands before it."""
    logprobs = [None, *run.writer.score(prompt).tolist()]
    name = run.writer.detokenizer.token_text
    return [
        {"id": token, "text": name(token), "logprob": logprob}
        for token, logprob in zip(prompt.tokens.tolist(), logprobs, strict=True)
    ]


TASK = Task(answer, served_by=built_for("text-generation"), stream=stream)
