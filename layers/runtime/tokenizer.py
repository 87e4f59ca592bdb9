"""Text to token ids: the tokenizer of an artifact, loaded once, and a cache of what it has encoded."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from tokenizers import Encoding as RustEncoding
from tokenizers import Tokenizer

from layers.errors import ArtifactError, InputError
from layers.runtime.cache import ByteBoundedCache, CacheReport
from layers.runtime.generation.detokenizer import Detokenizer

Ids = npt.NDArray[np.int64]
Direction = Literal["left", "right"]
Strategy = Literal["longest_first", "only_first", "only_second"]

DEFAULT_CACHE_BYTES = 16 * 2**20

# Python objects around one cached encoding, without the text and the arrays' data.
ENTRY_OVERHEAD_BYTES = 600


@dataclass(frozen=True, slots=True)
class Encoding:
    """One text, or pair of texts, as the model takes it: `input_ids` and `token_type_ids` [sequence].

    `truncated_tokens` is how many were cut to fit. Offsets and masks of special tokens are left out:
    a task that needs them asks the tokenizer for more than `encode` computes.
    """

    input_ids: Ids
    token_type_ids: Ids
    truncated_tokens: int

    def __len__(self) -> int:
        return len(self.input_ids)


class TextTokenizer:
    """Encodes as transformers does with `truncation=True`: special tokens stay, the rest is cut to fit."""

    def __init__(self, tokenizer: Tokenizer, max_tokens: int, cache_bytes: int = DEFAULT_CACHE_BYTES) -> None:
        self._tokenizer = tokenizer
        self._cache: ByteBoundedCache[tuple[str, str | None, str, str, int | None], Encoding] = ByteBoundedCache(
            cache_bytes
        )
        self.max_tokens = max_tokens
        # A tokenizer.json remembers how it was last used, often in training: 160 tokens, always padded.
        tokenizer.no_padding()
        tokenizer.no_truncation()

    @classmethod
    def load(cls, path: Path, max_tokens: int, cache_bytes: int = DEFAULT_CACHE_BYTES) -> TextTokenizer:
        """Read a `tokenizer.json`. Raises ArtifactError when it is not one."""
        # Texts are encoded one at a time; a pool would be a thread for every core of the host, and 4 microseconds.
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # tokenizers raises bare Exception
            raise ArtifactError(f"{path}: not a tokenizer: {error}. Build the model again.") from error
        return cls(tokenizer, max_tokens, cache_bytes)

    def encode(
        self,
        text: str,
        pair: str | None = None,
        *,
        truncate: bool = True,
        truncation_direction: Direction = "right",
        strategy: Strategy = "longest_first",
        max_tokens: int | None = None,
    ) -> Encoding:
        """Encode a text, with `pair` as its second sequence; an empty `pair` is none, as in transformers.

        Raises InputError (422) for text that is not valid Unicode, and for text longer than the model
        when `truncate` is false or `strategy` cannot make it fit. `max_tokens` stands for the model's limit.
        """
        key = (text, pair or None, truncation_direction, strategy, max_tokens)
        encoding = self._cache.get(key)
        if encoding is None:
            encoding = self.encode_uncached(
                text,
                pair,
                truncate=truncate,
                truncation_direction=truncation_direction,
                strategy=strategy,
                max_tokens=max_tokens,
            )
            size = encoding.input_ids.nbytes + encoding.token_type_ids.nbytes + ENTRY_OVERHEAD_BYTES
            self._cache.put(key, encoding, size + sys.getsizeof(text) + (sys.getsizeof(pair) if pair else 0))
        if encoding.truncated_tokens and not truncate:
            self._refuse(len(encoding) + encoding.truncated_tokens)
        return encoding

    def detokenizer(self) -> Detokenizer:
        """For what is generated with this tokenizer's tokens."""
        return Detokenizer(self._tokenizer)

    def cache_report(self) -> CacheReport:
        """Of the cache of encodings."""
        return self._cache.report()

    def encode_uncached(
        self,
        text: str,
        pair: str | None = None,
        *,
        truncate: bool = True,
        truncation_direction: Direction = "right",
        strategy: Strategy = "longest_first",
        max_tokens: int | None = None,
    ) -> Encoding:
        """`encode` without the cache: for texts that will not come again, and outside of its counts."""
        try:
            # encode_batch_fast computes no offsets: 27 microseconds a sentence instead of 32.
            [encoded] = self._tokenizer.encode_batch_fast([(text, pair) if pair else text])
        except (TypeError, UnicodeError) as error:
            raise InputError("text is not valid Unicode: it holds half of a surrogate pair. Remove it.") from error
        input_ids = np.array(encoded.ids, dtype=np.int64)
        token_type_ids = np.array(encoded.type_ids, dtype=np.int64)
        excess = len(input_ids) - (max_tokens or self.max_tokens)
        if excess > 0:
            if not truncate:
                self._refuse(len(input_ids))
            kept = self._kept_positions(encoded, excess, truncation_direction, strategy)
            input_ids, token_type_ids = input_ids[kept], token_type_ids[kept]
        # The cache hands the same arrays to every caller.
        input_ids.flags.writeable = token_type_ids.flags.writeable = False
        return Encoding(input_ids, token_type_ids, max(0, excess))

    def _kept_positions(self, encoded: RustEncoding, excess: int, direction: Direction, strategy: Strategy) -> Ids:
        """Positions left when `excess` tokens are cut from the sequences; special tokens belong to neither."""
        sequence_ids = np.array([-1 if i is None else i for i in encoded.sequence_ids], dtype=np.int64)
        sequences = [np.flatnonzero(sequence_ids == i) for i in range(encoded.n_sequences)]
        lengths = [len(sequence) for sequence in sequences]
        if len(lengths) == 1:
            lengths = [lengths[0] - excess]
        elif strategy == "longest_first":
            lengths = _longest_first(lengths[0], lengths[1], sum(lengths) - excess)
        else:
            lengths[0 if strategy == "only_first" else 1] -= excess
        if min(lengths) < 0 or (strategy != "longest_first" and min(lengths) == 0):
            self._refuse(len(sequence_ids), f" truncating {strategy.replace('_', ' ')} cannot make it fit;")
        kept = [s[:n] if direction == "right" else s[len(s) - n :] for s, n in zip(sequences, lengths, strict=True)]
        return np.sort(np.concatenate([np.flatnonzero(sequence_ids == -1), *kept]))

    def _refuse(self, tokens: int, reason: str = "") -> None:
        raise InputError(
            f"input is too long: got {tokens} tokens, the model takes {self.max_tokens};{reason} "
            "shorten it or send truncate: true."
        )


def _longest_first(first: int, second: int, room: int) -> list[int]:
    """Lengths that transformers leaves of two sequences: cut the longer, then halve what there is."""
    shorter, longer = sorted((first, second))
    longer = max(shorter, room - shorter)
    if shorter + longer > room:
        shorter = room // 2
        longer = shorter + room % 2
    return [shorter, longer] if first <= second else [longer, shorter]
