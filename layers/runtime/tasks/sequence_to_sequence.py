"""What summarization, translation and text2text-generation share: a source is read, a text is written."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any

import numpy as np

from layers.errors import InputError
from layers.generation import Generation
from layers.runtime.generation.continuation import Prompt
from layers.runtime.generation.decoder import Ids
from layers.runtime.generation.options import DecodingOptions
from layers.runtime.run import Run, StreamEvent
from layers.runtime.tasks.decoding import DecodingParameters
from layers.runtime.tasks.task import Parameters, read_texts
from layers.runtime.tasks.text_generation import seeds
from layers.runtime.vocabulary import without_extra_spaces
from layers.wording import kind

# transformers' pipelines of these tasks allow as many.
DEFAULT_NEW_TOKENS = 256


class SequenceParameters(Parameters, DecodingParameters):
    """`generate_parameters` holds parameters of decoding, as the hosted API takes them; they may stand beside it too.

    The source is truncated to what the encoder takes unless `truncate` is false; how much was cut is counted.
    """

    clean_up_tokenization_spaces: bool = False
    generate_parameters: dict[str, Any] | None = None


# The text before the source, the tokens that begin it, and the tokens that begin the target.
Opening = tuple[str, tuple[int, ...], tuple[int, ...]]


def answer(run: Run, inputs: Any, wanted: SequenceParameters, opening: Opening, key: str) -> list[Any]:
    """[{key: text}], one a source, or one a returned sequence."""
    texts, _ = read_texts(inputs)
    run.admit(len(texts))
    decoding = _decoding(wanted)
    prompts = [_prompt(run, text, wanted, opening) for text in texts]
    options = [_options(run, prompt, decoding) for prompt in prompts]
    if options[0].num_return_sequences > 1 and options[0].do_sample:
        answers = [
            run.branch(prompt, seeds(own, own.num_return_sequences))
            for prompt, own in zip(prompts, options, strict=True)
        ]
    else:
        answers = run.generate(prompts, options)
    clean = without_extra_spaces if wanted.clean_up_tokenization_spaces else str
    return [{key: clean(one.text)} for several in answers for one in several]


def stream(run: Run, inputs: Any, wanted: SequenceParameters, opening: Opening) -> Generator[StreamEvent]:
    """The same, token by token, for one source."""
    if not isinstance(inputs, str):
        raise InputError(f"inputs: got {kind(inputs)} with stream, expected a string.")
    if wanted.clean_up_tokenization_spaces:
        raise InputError("parameter 'clean_up_tokenization_spaces': got true with stream, expected false.")
    decoding = _decoding(wanted)
    if (decoding.num_return_sequences or 1) > 1:
        raise InputError("num_return_sequences: got more than 1 with stream, expected 1.")
    prompt = _prompt(run, inputs, wanted, opening)
    return run.stream(prompt, [replace(_options(run, prompt, decoding), logprobs=True)])


def _decoding(wanted: SequenceParameters) -> DecodingParameters:
    """The parameters of decoding from both places. Raises InputError for one that stands in both."""
    beside = {
        name: getattr(wanted, name) for name in wanted.model_fields_set if name in DecodingParameters.model_fields
    }
    within = wanted.generate_parameters or {}
    for name, value in within.items():
        if name in beside and value is not None:
            raise InputError(f"parameter {name!r} stands in generate_parameters and beside it: send it once.")
    # What stands beside is not null, and holds where a null stands within.
    return DecodingParameters.read({**within, **beside})


def _prompt(run: Run, text: str, wanted: SequenceParameters, opening: Opening) -> Prompt:
    prefix, source_start, target_start = opening
    generation = run.writer.generation
    [encoding] = run.encode([(prefix + text, None)], **wanted.truncation_options())
    source = _begun(encoding.input_ids, source_start, generation, "source:")
    limit = generation.source_max_tokens or run.manifest.limits.max_tokens
    if len(source) > limit:
        raise InputError(f"input is too long: got {len(source)} tokens, the model takes {limit}. Shorten it.")
    if not len(source):
        raise InputError("inputs: got an empty text, expected at least one token.")
    start = generation.decoder_start_token_id
    tokens = np.array([] if start is None else [start], dtype=np.int64)
    return Prompt(_target(tokens, target_start, generation), source)


def _begun(tokens: Ids, start: tuple[int, ...], generation: Generation, kind_of_prefix: str) -> Ids:
    """The tokens with `start` before them, in place of another language's that the tokenizer put there."""
    if not start:
        return tokens
    for name, other in generation.prefixes.items():
        if name.startswith(kind_of_prefix) and other and tuple(tokens[: len(other)].tolist()) == other:
            tokens = tokens[len(other) :]
            break
    return np.concatenate([np.array(start, dtype=np.int64), tokens])


def _target(tokens: Ids, start: tuple[int, ...], generation: Generation) -> Ids:
    """The decoder's start and the language's tokens; where the start is a language itself, the language alone."""
    languages = {other for name, other in generation.prefixes.items() if name.startswith("target:")}
    if start and tuple(tokens.tolist()) in languages:
        return np.array(start, dtype=np.int64)
    return np.concatenate([tokens, np.array(start, dtype=np.int64)])


def _options(run: Run, prompt: Prompt, decoding: DecodingParameters) -> DecodingOptions:
    return decoding.options(
        run.writer.generation,
        len(prompt.tokens),
        run.writer.room(prompt),
        default_new_tokens=DEFAULT_NEW_TOKENS,
        # generate() starts from one token and writes the language itself.
        begun=len(prompt.tokens) - 1,
    )


def plain_opening(generation: Generation, task: str) -> Opening:
    """The task's text prefix, if the checkpoint states one."""
    return generation.task_prefixes.get(task, ""), (), ()
