"""One variant of one generative artifact, opened: token ids in, tokens and text out. Knows no task."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from layers.artifact import TOKENIZER, Manifest, Variant, verify_files
from layers.errors import ArtifactError, InputError
from layers.generation import GENERATION, Generation
from layers.runtime.batching import in_caller_order, plan_batches, usual_batch_tokens
from layers.runtime.cache import CacheReport
from layers.runtime.card import machine_for
from layers.runtime.cpu import thread_count
from layers.runtime.device import CARD, Device, Place
from layers.runtime.engine import open_session
from layers.runtime.generation.beams import beam_search
from layers.runtime.generation.continuation import Continuation, Prompt
from layers.runtime.generation.decoder import AheadDecoder, Decoder, Ids
from layers.runtime.generation.detokenizer import Detokenizer
from layers.runtime.generation.encoder import SourceEncoder
from layers.runtime.generation.graph_decoder import GraphDecoder
from layers.runtime.generation.joining import joining
from layers.runtime.generation.lent_rows import LentRows
from layers.runtime.generation.load_options import (
    DEFAULT_GENERATIONS,
    DEFAULT_KV_CACHE_BYTES,
    DEFAULT_LOOKUP_TOKENS,
    DEFAULT_PREFIX_CACHE_BYTES,
    DEFAULT_WAIT_SECONDS,
)
from layers.runtime.generation.lookup import Lookup, LookupReport, generate_ahead
from layers.runtime.generation.loop import TokenEvent, generate
from layers.runtime.generation.options import DecodingOptions, FinishReason
from layers.runtime.generation.prefix_cache import PrefixCache
from layers.runtime.generation.slot_rows import lend_rows
from layers.runtime.generation.slots import SlotPool
from layers.runtime.limits import NO_LIMITS, TokenLimits
from layers.runtime.tokenizer import DEFAULT_CACHE_BYTES, TextTokenizer

GENERATIVE_TASKS = ("text-generation", "text2text-generation", "summarization", "translation")
# Where source and target of a translator have vocabularies of their own.
TARGET_TOKENIZER = "tokenizer.target.json"

MAX_ROWS = 32


class GenerationEngine:
    """The sessions with their tokenizer and the memory for keys and values. Safe to share between threads.

    Every running request has a slot of memory to itself. Keys and values are reused between requests only on variants
    whose rows are independent.
    """

    def __init__(
        self,
        manifest: Manifest,
        variant: Variant,
        generation: Generation,
        tokenizer: TextTokenizer,
        detokenizer: Detokenizer,
        session: onnxruntime.InferenceSession,
        encoder_session: onnxruntime.InferenceSession | None = None,
        *,
        threads: int,
        spinning: bool = True,
        max_batch_tokens: int | None = None,
        kv_cache_bytes: int = DEFAULT_KV_CACHE_BYTES,
        prefix_cache_bytes: int = DEFAULT_PREFIX_CACHE_BYTES,
        max_generations: int = DEFAULT_GENERATIONS,
        generation_wait_seconds: float = DEFAULT_WAIT_SECONDS,
        generation_rows: int = 0,
        lookup_tokens: int = DEFAULT_LOOKUP_TOKENS,
        limits: TokenLimits = NO_LIMITS,
        place: Place | None = None,
    ) -> None:
        """With a `place`, keys and values lie there, and runs of one shape are recorded."""
        if (generation.kind == "encoder-decoder") != (encoder_session is not None):
            raise ArtifactError(f"{manifest.name}: {GENERATION} says {generation.kind}. Build the model again.")
        self.manifest = manifest
        self.limits = limits
        self.variant = variant
        self.generation = generation
        self.tokenizer = tokenizer
        self.detokenizer = detokenizer
        self.threads = threads
        self.spinning = spinning
        self._session = session
        self.max_batch_tokens = max_batch_tokens or usual_batch_tokens(on_card=place is not None, writes=True)
        self._slots = SlotPool(
            generation.cache,
            max_tokens=generation.max_tokens,
            budget_bytes=kv_cache_bytes,
            max_slots=max_generations,
            wait_seconds=generation_wait_seconds,
        )
        self._encoder = SourceEncoder(encoder_session, generation.cache, self._pad) if encoder_session else None
        devices = (
            (Device(session, place), Device(encoder_session, place) if encoder_session else None) if place else None
        )
        self._lent = LentRows(*devices, generation) if devices else None
        reusable = variant.row_independent and generation.kind == "decoder" and prefix_cache_bytes > 0
        self._prefixes = PrefixCache(prefix_cache_bytes) if reusable else None
        lend = partial(lend_rows, session, generation, self._slots, self._prefixes)
        looks_up = variant.row_independent and place is None and lookup_tokens > 0
        self._lookup = Lookup(lookup_tokens) if looks_up else None
        self._shares_tokens = TARGET_TOKENIZER not in manifest.files
        joined = generation_rows if variant.row_independent else 0
        self._scheduler = joining(
            generation, self._slots, detokenizer, lend, devices, rows=joined, tokens=self.max_total_tokens
        )

    @classmethod
    def load(
        cls,
        directory: Path,
        *,
        variant: str | None = None,
        threads: int | None = None,
        spinning: bool | None = None,
        verify_weights: bool = False,
        alone: bool = True,
        encoding_cache_bytes: int = DEFAULT_CACHE_BYTES,
        max_batch_tokens: int | None = None,
        kv_cache_bytes: int = DEFAULT_KV_CACHE_BYTES,
        prefix_cache_bytes: int = DEFAULT_PREFIX_CACHE_BYTES,
        max_generations: int = DEFAULT_GENERATIONS,
        generation_wait_seconds: float = DEFAULT_WAIT_SECONDS,
        generation_rows: int = 0,
        lookup_tokens: int = DEFAULT_LOOKUP_TOKENS,
        limits: TokenLimits = NO_LIMITS,
    ) -> GenerationEngine:
        """Open an artifact: the variant named, or the one chosen for the machine this runs on.

        Raises ArtifactError when a file is missing or altered, or nothing in the artifact is meant for this machine.
        """
        manifest = Manifest.read(directory)
        chosen = manifest.variant(variant) if variant else manifest.variant_for(machine_for(manifest))
        place = CARD if chosen.on_card else None
        if chosen.file is None:
            raise ArtifactError(f"{manifest.name}: variant {chosen.name!r} was reported but not shipped")
        target = TARGET_TOKENIZER if TARGET_TOKENIZER in manifest.files else TOKENIZER
        names = dict.fromkeys([*chosen.files, TOKENIZER, target, GENERATION])
        verify_files(manifest, directory, list(names), weights_by_hash=verify_weights)
        generation = Generation.read(directory)
        threads = threads or chosen.session.bounded(thread_count())
        spinning = chosen.session.spinning if spinning is None else spinning
        opened = partial(open_session, threads=threads, alone=alone, spinning=spinning, place=place)
        # Opening a session holds no lock of the interpreter, so everything else is read meanwhile.
        with ThreadPoolExecutor(2) as beside:
            opening = beside.submit(opened, directory / chosen.file)
            encoder = chosen.encoder_file and beside.submit(opened, directory / chosen.encoder_file)
            limit = limits.input_limit(generation.source_max_tokens or manifest.limits.max_tokens)
            side = manifest.tokenizer.truncation_side
            tokenizer = TextTokenizer.load(directory / TOKENIZER, limit, encoding_cache_bytes, truncation_side=side)
            detokenizer = (
                tokenizer.detokenizer()
                if target == TOKENIZER
                else TextTokenizer.load(directory / target, limit, 0).detokenizer()
            )
            session = opening.result()
            encoder_session = encoder.result() if encoder else None
        return cls(
            manifest,
            chosen,
            generation,
            tokenizer,
            detokenizer,
            session,
            encoder_session,
            threads=threads,
            spinning=spinning,
            max_batch_tokens=max_batch_tokens,
            kv_cache_bytes=kv_cache_bytes,
            prefix_cache_bytes=prefix_cache_bytes,
            max_generations=max_generations,
            generation_wait_seconds=generation_wait_seconds,
            generation_rows=generation_rows,
            lookup_tokens=lookup_tokens,
            limits=limits,
            place=place,
        )

    def room(self, prompt: Prompt) -> int:
        """How many tokens can follow a prompt. Raises InputError (422) when none can, or the prompt is over a limit."""
        length, longest = len(prompt.tokens), self.limits.input_tokens
        if longest is not None and length > longest:
            raise InputError(f"input is too long: got {length} tokens, expected at most {longest} here. Shorten it.")
        room = self.max_total_tokens - length
        if room < 1:
            raise InputError(
                f"input is too long: got {length} tokens, {self.manifest.name} takes {self.max_total_tokens} with the "
                "answer. Shorten it, or send truncate: the tokens to keep."
            )
        return min(room, self.limits.new_tokens or room)

    def unasked_room(self, prompt: Prompt, rows: int = 1) -> int:
        """`room`, but no more than every running request has memory for when all ask for as much."""
        fitting = self._slots.tokens_within_share(rows) - len(prompt.tokens)
        return max(1, min(self.room(prompt), fitting))

    def admit(self, prompt: Prompt, options: DecodingOptions, rows: int = 1) -> None:
        """Raises InputError (422) for what a limit, the model or the memory for keys and values has no room for."""
        room = self.room(prompt)
        if options.max_new_tokens > room:
            begun = options.begun
            raise InputError(
                f"parameter 'max_new_tokens': got {options.max_new_tokens + begun} after {len(prompt.tokens) - begun} "
                f"tokens of input, expected at most {room + begun}: {self.manifest.name} takes "
                f"{self.max_total_tokens} in all"
                f"{'' if self.limits.new_tokens is None else f' and writes {self.limits.new_tokens} here'}."
            )
        self._slots.admit(max(rows, options.num_beams), len(prompt.tokens) + options.max_new_tokens)

    @property
    def max_total_tokens(self) -> int:
        """Most tokens of a prompt with what follows it."""
        return min(self.generation.max_tokens, self.limits.total_tokens or self.generation.max_tokens)

    def stream(self, prompt: Prompt, options: Sequence[DecodingOptions]) -> Generator[TokenEvent]:
        """Continue one prompt by each of `options`, which ask for no beams and equally many tokens.

        Closing the iterator ends the work. Raises InputError as `admit`, and 429 when the model is busy.
        """
        self.admit(prompt, options[0], len(options))
        if options[0].num_beams > 1:
            raise InputError("num_beams: got more than 1 with stream, expected 1: beams are chosen at the end.")
        return self._events([prompt] * len(options), options)

    def generate(self, prompts: Sequence[Prompt], options: Sequence[DecodingOptions]) -> list[list[Continuation]]:
        """Continue every prompt by its options, which agree in their beams; the texts of each, in order.

        Rows run together where a row's answer does not depend on its company. A row draws from a generator of its own,
        so it is also sampled as it would be alone.
        """
        for prompt, own in zip(prompts, options, strict=True):
            self.admit(prompt, own)
        if any(own.num_beams > 1 for own in options):
            return [self._beams(prompt, own) for prompt, own in zip(prompts, options, strict=True)]
        if self._scheduler is not None:
            return [[text] for text in self._collect(prompts, options)]
        longest = max((len(p.tokens) + own.max_new_tokens for p, own in zip(prompts, options, strict=True)), default=1)
        together = min(MAX_ROWS, self._slots.rows_within_budget(longest)) if self.variant.row_independent else 1
        batches = plan_batches(
            [len(prompt) for prompt in prompts], max_batch_size=together, max_batch_tokens=self.max_batch_tokens
        )
        results = [
            self._collect([prompts[place] for place in batch], [options[place] for place in batch]) for batch in batches
        ]
        return [[text] for text in in_caller_order(batches, results)]

    def branch(self, prompt: Prompt, options: Sequence[DecodingOptions]) -> list[Continuation]:
        """Continue one prompt by each of `options`, computing the prompt once."""
        self.admit(prompt, options[0], len(options))
        return self._collect([prompt] * len(options), options)

    def score(self, prompt: Prompt) -> npt.NDArray[np.float32]:
        """Log probability of each of the prompt's tokens after those before it, [length - 1].

        Raises InputError (422) for a prompt longer than the model takes.
        """
        if len(prompt.tokens) > self.generation.max_tokens:
            self.room(prompt)
        with self._open([prompt], len(prompt.tokens), rows=1) as decoder:
            return decoder.score(prompt.tokens)

    def warm_up(self) -> None:
        """Two tokens after a short text, so that the first request does not pay for first-time allocations."""
        tokens = self.tokenizer.encode_uncached("warm up").input_ids
        start = self.generation.decoder_start_token_id
        prompt = Prompt(tokens) if start is None or self._encoder is None else Prompt(np.array([start]), tokens)
        with self._open([prompt], len(prompt.tokens) + 2, rows=1, cached=False) as decoder:
            list(generate(decoder, [prompt.tokens], [DecodingOptions(max_new_tokens=2)], self.detokenizer))
        if self._scheduler is not None:
            self.generate([prompt], [DecodingOptions(max_new_tokens=2)])

    @property
    def joins_texts(self) -> bool:
        """Whether texts of different requests are written together."""
        return self._scheduler is not None

    def cache_reports(self) -> dict[str, CacheReport]:
        """Of the cache of encodings, and of prefixes where they are reused."""
        reports = {"encodings": self.tokenizer.cache_report()}
        return reports | ({"prefixes": self._prefixes.report()} if self._prefixes else {})

    def lookup_report(self) -> LookupReport | None:
        """How guesses went; None where nothing is guessed."""
        return self._lookup.report() if self._lookup else None

    def _collect(self, prompts: Sequence[Prompt], options: Sequence[DecodingOptions]) -> list[Continuation]:
        texts = [Continuation() for _ in prompts]
        for event in self._events(prompts, options):
            texts[event.row].add(event)
        for text in texts:
            text.text = "".join(event.text for event in text.events)
        return texts

    def _events(self, prompts: Sequence[Prompt], options: Sequence[DecodingOptions]) -> Generator[TokenEvent]:
        tokens = [prompt.tokens for prompt in prompts]
        longest = max(len(prompt) + own.max_new_tokens for prompt, own in zip(tokens, options, strict=True))
        branches = len(prompts) > 1 and all(prompt is prompts[0] for prompt in prompts)
        if self._scheduler is not None and not branches:
            yield from self._scheduler.run(tokens, [prompt.source for prompt in prompts], options)
            return
        with self._open(prompts[:1] if branches else prompts, longest, rows=len(prompts)) as decoder:
            if self._lookup is not None and len(prompts) == 1 and isinstance(decoder, AheadDecoder):
                read = self._searched(prompts[0])
                yield from generate_ahead(decoder, tokens[0], options[0], self.detokenizer, self._lookup, read)
                return
            yield from generate(decoder, tokens, options, self.detokenizer)

    def _searched(self, prompt: Prompt) -> list[int]:
        """What is looked up beside the prompt: a source, where the text is written in its tokens, and a prediction."""
        read = prompt.source.tolist() if prompt.source is not None and self._shares_tokens else []
        return read + ([] if prompt.predicted is None else prompt.predicted.tolist())

    def _beams(self, prompt: Prompt, options: DecodingOptions) -> list[Continuation]:
        with self._open([prompt], len(prompt.tokens) + options.max_new_tokens, rows=options.num_beams) as decoder:
            hypotheses = beam_search(decoder, prompt.tokens, options)
        texts: list[Continuation] = []
        for row, hypothesis in enumerate(hypotheses):
            stream = self.detokenizer.stream(prompt.tokens[: len(prompt.tokens) - options.begun].tolist())
            finish: FinishReason = "eos_token" if hypothesis.tokens[-1] in options.eos_token_ids else "length"
            text = Continuation("", finish, [], hypothesis.score)
            for place, token in enumerate(hypothesis.tokens):
                last = place == len(hypothesis.tokens) - 1
                piece = stream.add(token) + (stream.finish() if last else "")
                special = token in self.detokenizer.special
                text.events.append(TokenEvent(row, token, piece, special, None, (), finish if last else None))
            text.text = "".join(event.text for event in text.events)
            texts.append(text)
        return texts

    @contextmanager
    def _open(self, prompts: Sequence[Prompt], tokens: int, *, rows: int, cached: bool = True) -> Iterator[Decoder]:
        """A decoder with a slot for so many rows of so many tokens, for as long as the context lasts."""
        slot = self._slots.acquire(rows, tokens, prompts[0].tokens)
        try:
            read = [_source(prompt) for prompt in prompts] if self._encoder else None
            if self._lent is not None:
                with self._lent.lend(rows, tokens, read) as lent:
                    yield lent
                return
            sources = self._encoder.encode(read) if self._encoder and read else None
            decoder = GraphDecoder(
                self._session,
                self.generation,
                slot,
                divisible=self.variant.row_independent,
                prefixes=self._prefixes if cached else None,
                sources=sources,
            )
            try:
                yield decoder
            finally:
                decoder.release()
        finally:
            self._slots.release(slot)

    @property
    def _pad(self) -> int:
        pad = self.generation.pad_token_id
        return self.manifest.pad_token_id if pad is None else pad


def _source(prompt: Prompt) -> Ids:
    if prompt.source is None:
        raise AssertionError("an encoder-decoder's prompt has a source")
    return prompt.source
