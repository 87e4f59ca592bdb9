"""Text to token ids: the tokenizer of an artifact, loaded once, and a cache of what it has encoded."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from tokenizers import Encoding as RustEncoding
from tokenizers import Tokenizer

from layers.errors import ArtifactError, InputError
from layers.runtime.alignment import AlignedEncoding, Encoding, Ids, windows
from layers.runtime.cache import ByteBoundedCache, CacheReport
from layers.runtime.generation.detokenizer import Detokenizer
from layers.runtime.vocabulary import Vocabulary

Direction = Literal["left", "right"]
Strategy = Literal["longest_first", "only_first", "only_second"]

DEFAULT_CACHE_BYTES = 16 * 2**20

# Python objects around one cached encoding, without the text and the arrays' data.
ENTRY_OVERHEAD_BYTES = 600


class TextTokenizer:
    """Encodes as transformers does with `truncation=True`: special tokens stay, the rest is cut to fit."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        max_tokens: int,
        cache_bytes: int = DEFAULT_CACHE_BYTES,
        *,
        lowercase: bool = False,
        truncation_side: Direction = "right",
    ) -> None:
        self._tokenizer = tokenizer
        self._lowercase = lowercase
        self._truncation_side = truncation_side
        self._cache: ByteBoundedCache[tuple[str, str | None, str | None, str, int | None, bool], Encoding] = (
            ByteBoundedCache(cache_bytes)
        )
        self.max_tokens = max_tokens
        self.vocabulary = Vocabulary(tokenizer)
        # A tokenizer.json remembers how it was last used, often in training: 160 tokens, always padded.
        tokenizer.no_padding()
        tokenizer.no_truncation()

    @classmethod
    def load(
        cls,
        path: Path,
        max_tokens: int,
        cache_bytes: int = DEFAULT_CACHE_BYTES,
        *,
        lowercase: bool = False,
        truncation_side: Direction = "right",
    ) -> TextTokenizer:
        """Read a `tokenizer.json`; with `lowercase` texts are made lower case first, as Python does it.

        `truncation_side` is where texts are cut, unless a call says otherwise. Raises ArtifactError when
        the file is none.
        """
        # Texts are encoded one at a time; a pool would be a thread for every core of the host, and 4 microseconds.
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # tokenizers raises bare Exception
            raise ArtifactError(f"{path}: not a tokenizer: {error}. Build the model again.") from error
        return cls(tokenizer, max_tokens, cache_bytes, lowercase=lowercase, truncation_side=truncation_side)

    def encode(
        self,
        text: str,
        pair: str | None = None,
        *,
        truncate: bool = True,
        truncation_direction: Direction | None = None,
        strategy: Strategy = "longest_first",
        max_tokens: int | None = None,
        add_special_tokens: bool = True,
    ) -> Encoding:
        """Encode a text, with `pair` as its second sequence, which may be empty.

        Raises InputError (422) for text that is not valid Unicode, and for text longer than the model
        when `truncate` is false or `strategy` cannot make it fit. `max_tokens` stands for the model's limit.
        """
        key = (text, pair, truncation_direction, strategy, max_tokens, add_special_tokens)
        encoding = self._cache.get(key)
        if encoding is None:
            encoding = self.encode_uncached(
                text,
                pair,
                truncate=truncate,
                truncation_direction=truncation_direction,
                strategy=strategy,
                max_tokens=max_tokens,
                add_special_tokens=add_special_tokens,
            )
            size = encoding.input_ids.nbytes + encoding.token_type_ids.nbytes + ENTRY_OVERHEAD_BYTES
            self._cache.put(key, encoding, size + sys.getsizeof(text) + sys.getsizeof(pair))
        if encoding.truncated_tokens and not truncate:
            self._refuse(len(encoding) + encoding.truncated_tokens)
        return encoding

    def align(
        self,
        text: str,
        pair: str | None = None,
        *,
        truncate: bool = True,
        truncation_direction: Direction | None = None,
        strategy: Strategy = "longest_first",
    ) -> AlignedEncoding:
        """`encode`, with each token's place in its text."""
        whole = self._whole(text, pair)
        excess = len(whole) - self.max_tokens
        if excess <= 0:
            return whole
        if not truncate:
            self._refuse(len(whole))
        count = 1 if pair is None else 2
        kept = self._kept_positions(whole.sequence_ids, count, excess, truncation_direction, strategy)
        return whole.kept(kept, excess)

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
        """A long text in overlapping parts, nothing cut: of the second text where there are two.

        The first part is what truncation would leave. `max_first_tokens` is what is kept of the first of two. Raises
        InputError as `alignment.windows`.
        """
        whole = self._whole(text, pair)
        first = np.flatnonzero(whole.sequence_ids == 0)
        cut = len(first) - max_first_tokens if pair is not None and max_first_tokens is not None else 0
        if cut > 0:
            whole = whole.kept(np.setdiff1d(np.arange(len(whole)), first[max_first_tokens:]), cut)
        return windows(
            whole,
            0 if pair is None else 1,
            max_tokens or self.max_tokens,
            stride,
            shrink_stride=shrink_stride,
            from_end=(truncation_direction or self._truncation_side) == "left",
        )

    def tokens(self, text: str, *, add_special_tokens: bool = True) -> list[dict[str, Any]]:
        """Every token as {"id", "text", "special", "start", "stop"}: its part of the text, in characters.

        A special token has its name, and no place. Raises InputError as `encode`.
        """
        encoded = self._encoded(self._tokenizer.encode_batch, text, None, add_special_tokens)
        text = text.lower() if self._lowercase else text
        return [
            {
                "id": identifier,
                "text": name if special else text[start:stop],
                "special": bool(special),
                "start": None if special else start,
                "stop": None if special else stop,
            }
            for identifier, name, special, (start, stop) in zip(
                encoded.ids, encoded.tokens, encoded.special_tokens_mask, encoded.offsets, strict=True
            )
        ]

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        """The text of tokens. Raises InputError (422) for an id that the tokenizer does not have."""
        for identifier in ids:
            if not 0 <= identifier < 2**32 or self._tokenizer.id_to_token(identifier) is None:
                raise InputError(f"ids: got {identifier}, which is no token of this model.", parameter="ids")
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=skip_special_tokens)
        return text

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
        truncation_direction: Direction | None = None,
        strategy: Strategy = "longest_first",
        max_tokens: int | None = None,
        add_special_tokens: bool = True,
    ) -> Encoding:
        """`encode` without the cache: for texts that will not come again, and outside of its counts."""
        # encode_batch_fast computes no offsets: 27 microseconds a sentence instead of 32.
        encoded = self._encoded(self._tokenizer.encode_batch_fast, text, pair, add_special_tokens)
        input_ids = np.array(encoded.ids, dtype=np.int64)
        token_type_ids = np.array(encoded.type_ids, dtype=np.int64)
        excess = len(input_ids) - (max_tokens or self.max_tokens)
        if excess > 0:
            if not truncate:
                self._refuse(len(input_ids))
            kept = self._kept_positions(
                _sequence_ids(encoded), encoded.n_sequences, excess, truncation_direction, strategy
            )
            input_ids, token_type_ids = input_ids[kept], token_type_ids[kept]
        # The cache hands the same arrays to every caller.
        input_ids.flags.writeable = token_type_ids.flags.writeable = False
        return Encoding(input_ids, token_type_ids, max(0, excess))

    def _whole(self, text: str, pair: str | None) -> AlignedEncoding:
        """Every token of the text, through the cache."""
        key = (text, pair, "whole", "", None, True)
        found = self._cache.get(key)
        if isinstance(found, AlignedEncoding):
            return found
        encoded = self._encoded(self._tokenizer.encode_batch, text, pair)
        whole = AlignedEncoding(
            np.array(encoded.ids, dtype=np.int64),
            np.array(encoded.type_ids, dtype=np.int64),
            0,
            _sequence_ids(encoded),
            np.array(encoded.offsets, dtype=np.int64).reshape(-1, 2),
            np.array([-1 if word is None else word for word in encoded.word_ids], dtype=np.int64),
        )
        for array in (whole.input_ids, whole.token_type_ids, whole.sequence_ids, whole.offsets, whole.word_ids):
            array.flags.writeable = False
        self._cache.put(key, whole, whole.nbytes + ENTRY_OVERHEAD_BYTES + sys.getsizeof(text) + sys.getsizeof(pair))
        return whole

    def _encoded(
        self,
        encode_batch: Callable[..., list[RustEncoding]],
        text: str,
        pair: str | None,
        add_special_tokens: bool = True,
    ) -> RustEncoding:
        if self._lowercase:
            text, pair = text.lower(), None if pair is None else pair.lower()
        try:
            [encoded] = encode_batch([text if pair is None else (text, pair)], add_special_tokens=add_special_tokens)
        except (TypeError, UnicodeError) as error:
            raise InputError("text is not valid Unicode: it holds half of a surrogate pair. Remove it.") from error
        return encoded

    def _kept_positions(
        self, sequence_ids: Ids, count: int, excess: int, direction: Direction | None, strategy: Strategy
    ) -> Ids:
        """Positions left when `excess` tokens are cut from `count` sequences; special tokens belong to neither."""
        sequences = [np.flatnonzero(sequence_ids == i) for i in range(count)]
        lengths = [len(sequence) for sequence in sequences]
        if count == 1:
            least = lengths[0] = lengths[0] - excess
        elif strategy == "longest_first":
            lengths = _longest_first(lengths[0], lengths[1], sum(lengths) - excess)
            least = min(lengths)
        else:
            cut = 0 if strategy == "only_first" else 1
            least = lengths[cut] = lengths[cut] - excess
        if least < 0 or (strategy != "longest_first" and least == 0):
            self._refuse(len(sequence_ids), f" truncating {strategy.replace('_', ' ')} cannot make it fit;")
        right = (direction or self._truncation_side) == "right"
        kept = [s[:n] if right else s[len(s) - n :] for s, n in zip(sequences, lengths, strict=True)]
        return np.sort(np.concatenate([np.flatnonzero(sequence_ids == -1), *kept]))

    def _refuse(self, tokens: int, reason: str = "") -> None:
        raise InputError(
            f"input is too long: got {tokens} tokens, the model takes {self.max_tokens};{reason} "
            "shorten it or send truncate: true."
        )


def _sequence_ids(encoded: RustEncoding) -> Ids:
    return np.array([-1 if number is None else number for number in encoded.sequence_ids], dtype=np.int64)


def _longest_first(first: int, second: int, room: int) -> list[int]:
    """Lengths that transformers leaves of two sequences: cut the longer, then halve what there is."""
    shorter, longer = sorted((first, second))
    longer = max(shorter, room - shorter)
    if shorter + longer > room:
        shorter = room // 2
        longer = shorter + room % 2
    return [shorter, longer] if first <= second else [longer, shorter]
