"""Token ids to text and back, for tasks that name tokens. Nothing is encoded here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property

from tokenizers import Tokenizer


class Vocabulary:
    """The tokens of one tokenizer. Safe to share between threads."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    @cached_property
    def subword_prefix(self) -> str | None:
        """What marks a token that continues a word ("##"); None where no token is marked."""
        return getattr(self._tokenizer.model, "continuing_subword_prefix", None) or None

    @cached_property
    def is_bpe(self) -> bool:
        """Whether tokens were merged from characters or bytes: spaces are part of them, and never cleaned up."""
        return type(self._tokenizer.model).__name__ == "BPE"

    def token(self, identifier: int) -> str:
        """As it stands in the vocabulary; "" for an id that has none."""
        return self._tokenizer.id_to_token(identifier) or ""

    def identifier(self, token: str) -> int | None:
        """Of a token as it stands in the vocabulary. Raises UnicodeError for text that is not valid Unicode."""
        found: int | None = self._tokenizer.token_to_id(token)
        return found

    def first_identifier(self, text: str) -> int | None:
        """Of the token that a text begins with, special ones aside; None for a text that has no tokens.

        Raises UnicodeError or TypeError for text that is not valid Unicode.
        """
        ids = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids[0] if ids else None

    def join(self, tokens: Sequence[str]) -> str:
        """Tokens as running text, as the tokenizer's decoder joins them."""
        decoder = self._tokenizer.decoder
        return " ".join(tokens) if decoder is None else decoder.decode(list(tokens))

    def decode(self, ids: list[int], *, skip_special_tokens: bool) -> str:
        """Ids as running text."""
        text: str = self._tokenizer.decode(ids, skip_special_tokens=skip_special_tokens)
        return text


def without_extra_spaces(text: str) -> str:
    """As transformers' `clean_up_tokenization`: no space before punctuation and contractions."""
    text = re.sub(r" ([.?!,])", r"\1", text).replace(" ' ", "'")
    return re.sub(r" (n't|'m|'s|'ve|'re)", r"\1", text)
