"""One prediction under way: what a task does its work with, and what is counted while it does."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from time import perf_counter
from typing import Any, TypedDict, Unpack

from layers.artifact import Manifest
from layers.errors import InputError
from layers.runtime.alignment import AlignedEncoding, Encoding
from layers.runtime.engine import Engine, Outputs
from layers.runtime.generation.continuation import Continuation, Prompt
from layers.runtime.generation.decoder import Ids
from layers.runtime.generation.detokenizer import Detokenizer
from layers.runtime.generation.engine import GenerationEngine
from layers.runtime.generation.loop import TokenEvent
from layers.runtime.generation.options import DecodingOptions, FinishReason
from layers.runtime.generation.sampling import TopTokens
from layers.runtime.tokenizer import Direction, Strategy
from layers.runtime.vocabulary import Vocabulary

TextPair = tuple[str, str | None]


class Truncation(TypedDict):
    """What is cut where a text is too long: keyword arguments of `Run.encode` and `Run.align`."""

    truncate: bool
    truncation_direction: Direction | None
    strategy: Strategy


@dataclass(frozen=True, slots=True)
class Prediction:
    """An answer that JSON can carry, and what it took. Times in milliseconds, tokens with special ones.

    `token_count` is of the inputs, which `text_count` counts; `generated_tokens` of the texts that were written.
    `repeatable` is false where the same question would be answered otherwise: something was drawn by a seed that
    nobody sent, or the prompt tells the time.
    """

    value: Any
    token_count: int
    truncated_tokens: int
    tokenization_ms: float
    inference_ms: float
    postprocessing_ms: float
    generated_tokens: int = 0
    text_count: int = 0
    repeatable: bool = True
    from_cache: bool = False


@dataclass(frozen=True, slots=True)
class StreamEnd:
    """How a streamed text ended. `seed` is None where nothing was drawn."""

    generated_text: str
    finish_reason: FinishReason
    generated_tokens: int
    input_length: int
    seed: int | None


@dataclass(frozen=True, slots=True)
class NamedToken:
    """A token that stood to be chosen; `text` as it would go on with one, of a special one its name."""

    token: int
    text: str
    logprob: float
    special: bool


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """One token. The `text`s of a row add up to the whole; a special token has none, but `token_text` names it.

    `index` counts a row's tokens from 1; there are several rows where several texts were asked for. `top` holds the
    likeliest tokens at its place, where they were asked for. `end` is there with a row's last token. How much was cut
    off the input stands with every token, so that it is known with the first.
    """

    index: int
    token: int
    text: str
    token_text: str
    special: bool
    logprob: float | None
    top: tuple[NamedToken, ...]
    end: StreamEnd | None
    row: int = 0
    truncated_tokens: int = 0


class Run:
    """Encodes and infers for one request; a task is a function of a run, the inputs and the parameters."""

    def __init__(self, engine: Engine | GenerationEngine, max_inputs: int | None = None) -> None:
        self._engine = engine
        self._max_inputs = max_inputs
        self._started = perf_counter()
        self._token_count = 0
        self._text_count = 0
        self._generated_tokens = 0
        self._repeatable = True
        self._truncated_tokens = 0
        self._tokenization = 0.0
        self._inference = 0.0

    def depends_on_more(self) -> None:
        """What is answered depends on more than the question: the time."""
        self._repeatable = False

    @property
    def manifest(self) -> Manifest:
        """Of the artifact that answers."""
        return self._engine.manifest

    @property
    def output_names(self) -> tuple[str, ...]:
        """What the graph can answer."""
        return self._reader.output_names

    @property
    def writer(self) -> GenerationEngine:
        """The engine of a task that writes."""
        assert isinstance(self._engine, GenerationEngine), "only artifacts of generative tasks are asked to write"
        return self._engine

    @property
    def max_tokens(self) -> int:
        """The longest text that is read at once, special tokens included."""
        return self._engine.tokenizer.max_tokens

    @property
    def vocabulary(self) -> Vocabulary:
        """The model's tokens by name."""
        return self._engine.tokenizer.vocabulary

    @property
    def _reader(self) -> Engine:
        assert isinstance(self._engine, Engine), "only artifacts of other tasks are asked for outputs"
        return self._engine

    def admit(self, count: int) -> None:
        """Raises InputError (422) for no inputs at all, or more than one request may carry."""
        if count == 0:
            raise InputError("inputs is empty: got 0 texts, expected at least 1.")
        if self._max_inputs is not None and count > self._max_inputs:
            raise InputError(f"too many inputs: got {count}, expected at most {self._max_inputs}. Send them in parts.")
        self._text_count += count

    def encode(
        self,
        texts: Sequence[TextPair],
        *,
        truncate: bool = True,
        truncation_direction: Direction | None = None,
        strategy: Strategy = "longest_first",
        max_tokens: int | None = None,
        add_special_tokens: bool = True,
    ) -> list[Encoding]:
        """Encode texts or pairs, in order. Raises InputError as `TextTokenizer.encode` does."""
        started = perf_counter()
        encodings = [
            self._engine.tokenizer.encode(
                text,
                pair,
                truncate=truncate,
                truncation_direction=truncation_direction,
                strategy=strategy,
                max_tokens=max_tokens,
                add_special_tokens=add_special_tokens,
            )
            for text, pair in texts
        ]
        self._count(encodings, started)
        return encodings

    def predicted(self, text: str) -> Ids:
        """Tokens of a text that may well be written, no more than can be; no part of what is read, nor counted.

        Raises InputError (422) for text that is not valid Unicode.
        """
        tokens = self._engine.tokenizer.encode_uncached(text, truncate=False, add_special_tokens=False).input_ids
        return tokens[: self.writer.max_total_tokens]

    def align(self, texts: Sequence[str], **truncation: Unpack[Truncation]) -> list[AlignedEncoding]:
        """`encode` of single texts, with each token's place in its text."""
        started = perf_counter()
        encodings = [self._engine.tokenizer.align(text, **truncation) for text in texts]
        self._count(encodings, started)
        return encodings

    def windows(
        self,
        text: str,
        pair: str | None = None,
        *,
        stride: int,
        shrink_stride: bool = False,
        truncation_direction: Direction | None = None,
        max_tokens: int | None = None,
        max_first_tokens: int | None = None,
    ) -> list[AlignedEncoding]:
        """A long text in overlapping parts. Raises InputError as `TextTokenizer.windows` does."""
        started = perf_counter()
        parts = self._engine.tokenizer.windows(
            text,
            pair,
            stride=stride,
            shrink_stride=shrink_stride,
            truncation_direction=truncation_direction,
            max_tokens=max_tokens,
            max_first_tokens=max_first_tokens,
        )
        self._count(parts, started)
        return parts

    def tokens(self, text: str, *, add_special_tokens: bool = True) -> list[dict[str, Any]]:
        """`TextTokenizer.tokens`, timed and counted."""
        started = perf_counter()
        tokens = self._engine.tokenizer.tokens(text, add_special_tokens=add_special_tokens)
        self.count_tokens(len(tokens))
        self._tokenization += perf_counter() - started
        return tokens

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        """`TextTokenizer.decode`, timed."""
        started = perf_counter()
        text = self._engine.tokenizer.decode(ids, skip_special_tokens=skip_special_tokens)
        self._tokenization += perf_counter() - started
        return text

    def count_tokens(self, count: int) -> None:
        """Add to the tokens of the inputs. Raises InputError (422) for more than one request may carry."""
        self._token_count += count
        self.bound_tokens(self._token_count)

    def bound_tokens(self, count: int) -> None:
        """Raises InputError (422) for more tokens than one request may carry."""
        limit = self._engine.limits.request_tokens
        if limit is not None and count > limit:
            raise InputError(
                f"too many tokens: got {count} in all inputs, expected at most {limit}. Send them in parts."
            )

    def forward(self, encodings: Sequence[Encoding], outputs: Sequence[str] | None = None) -> list[Outputs]:
        """`Engine.forward`, timed."""
        started = perf_counter()
        answers = self._reader.forward(encodings, outputs)
        self._inference += perf_counter() - started
        return answers

    def generate(self, prompts: Sequence[Prompt], options: Sequence[DecodingOptions]) -> list[list[Continuation]]:
        """`GenerationEngine.generate`, timed and counted."""
        started = perf_counter()
        texts = self.writer.generate(prompts, options)
        self._inference += perf_counter() - started
        self._count_written([text for several in texts for text in several], options)
        return texts

    def branch(self, prompt: Prompt, options: Sequence[DecodingOptions]) -> list[Continuation]:
        """`GenerationEngine.branch`, timed and counted."""
        started = perf_counter()
        texts = self.writer.branch(prompt, options)
        self._inference += perf_counter() - started
        self._count_written(texts, options)
        return texts

    def stream(self, prompt: Prompt, options: Sequence[DecodingOptions], before: str = "") -> Generator[StreamEvent]:
        """`GenerationEngine.stream` with the end worked out; `before` stands at the start of every whole text."""
        events = self.writer.stream(prompt, options)
        return _with_end(events, self.writer, options, self._token_count, self._truncated_tokens, before)

    def _count(self, encodings: Sequence[Encoding], started: float) -> None:
        self.count_tokens(sum(len(encoding) for encoding in encodings))
        self._truncated_tokens += sum(encoding.truncated_tokens for encoding in encodings)
        self._tokenization += perf_counter() - started

    def finish(self, value: Any) -> Prediction:
        """The task's answer with what was counted. Whatever was neither tokenization nor inference is the rest."""
        total = perf_counter() - self._started
        return Prediction(
            value=value,
            token_count=self._token_count,
            truncated_tokens=self._truncated_tokens,
            tokenization_ms=1000 * self._tokenization,
            inference_ms=1000 * self._inference,
            postprocessing_ms=1000 * (total - self._tokenization - self._inference),
            generated_tokens=self._generated_tokens,
            text_count=self._text_count,
            repeatable=self._repeatable,
        )

    def _count_written(self, texts: Sequence[Continuation], options: Sequence[DecodingOptions]) -> None:
        self._generated_tokens += sum(text.token_count for text in texts)
        self._repeatable &= all(own.seed_sent or not own.do_sample for own in options)


def _with_end(
    events: Generator[TokenEvent],
    engine: GenerationEngine,
    options: Sequence[DecodingOptions],
    input_length: int,
    truncated_tokens: int,
    before: str,
) -> Generator[StreamEvent]:
    texts: list[list[str]] = [[] for _ in options]
    with closing(events):
        for event in events:
            parts, own = texts[event.row], options[event.row]
            parts.append(event.text)
            end = None
            if event.finish:
                seed = own.seed if own.do_sample else None
                end = StreamEnd(before + "".join(parts), event.finish, len(parts), input_length, seed)
            name = engine.detokenizer.token_text(event.token) if event.special else event.text
            yield StreamEvent(
                len(parts),
                event.token,
                event.text,
                name,
                event.special,
                event.logprob,
                named(event.top, engine.detokenizer),
                end,
                event.row,
                truncated_tokens,
            )


def named(top: TopTokens, detokenizer: Detokenizer) -> tuple[NamedToken, ...]:
    """Tokens and log probabilities with what they say."""
    return tuple(
        NamedToken(token, detokenizer.token_text(token, first=False), logprob, token in detokenizer.special)
        for token, logprob in top
    )
