"""Tokens to text, one at a time: pieces that add up to what the tokenizer's decode of all of them gives.

A token's text depends on little besides itself: on being the first, or on bytes that wait for the rest of their
character. So a piece costs one look-up and no earlier token is decoded again. Follows tokenizers' decoders (Rust,
`tokenizers/src/decoders` and `pre_tokenizers/byte_level.rs`), special tokens skipped.

Behind a prompt no token is the first: pieces are what the decode of both has beyond that of the prompt, as in
text-generation-inference and vLLM. transformers 5's pipeline decodes new tokens alone, which glues the first word that
a Llama or Mistral writes to the prompt.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from tokenizers import Tokenizer

BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")


class Pieces(Protocol):
    """The state of one text."""

    def follow(self, before: Sequence[int]) -> None:
        """These tokens stand before, and have text; called first."""

    def add(self, token: str, identifier: int) -> str:
        """The text that is certain with this token; never part of a character."""

    def finish(self) -> str:
        """What was waiting for more."""


class BytePieces:
    """ByteLevel: a token's characters stand for bytes; incomplete ones wait, invalid ones are U+FFFD."""

    def __init__(self, table: dict[str, int]) -> None:
        self._table = table
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def follow(self, before: Sequence[int]) -> None:
        """Bytes are the same anywhere."""

    def add(self, token: str, identifier: int) -> str:  # noqa: ARG002
        table = self._table
        try:
            content = bytes([table[character] for character in token])
        except KeyError:  # an added token is written as it is
            content = token.encode("utf-8")
        return self._decoder.decode(content)

    def finish(self) -> str:
        return self._decoder.decode(b"", final=True)


class WordPieces:
    """Decoders that take tokens one by one and treat the first, at most, in another way."""

    def __init__(self, convert: Callable[[str, bool], str]) -> None:
        self._convert = convert
        self._first = True

    def follow(self, before: Sequence[int]) -> None:  # noqa: ARG002
        self._first = False

    def add(self, token: str, identifier: int) -> str:  # noqa: ARG002
        text = self._convert(token, self._first)
        self._first = False
        return text

    def finish(self) -> str:
        return ""


class FallbackPieces:
    """[Replace, ByteFallback, Fuse] and perhaps Strip, as Llama's and Gemma's: a run of byte tokens waits for its end.

    A run that is not UTF-8 is one U+FFFD a byte, all of it: that is known only once it has ended.
    """

    def __init__(self, replaced: str, replacement: str, strip: str, strip_count: int) -> None:
        self._replaced, self._replacement = replaced, replacement
        self._strip, self._left_to_strip = strip, strip_count
        self._bytes = bytearray()

    def follow(self, before: Sequence[int]) -> None:  # noqa: ARG002
        self._left_to_strip = 0

    def add(self, token: str, identifier: int) -> str:  # noqa: ARG002
        byte = BYTE_TOKEN.fullmatch(token)
        if byte:
            self._bytes.append(int(byte[1], 16))
            return ""
        return self._stripped(self._run() + token.replace(self._replaced, self._replacement))

    def finish(self) -> str:
        return self._stripped(self._run())

    def _run(self) -> str:
        if not self._bytes:
            return ""
        content = bytes(self._bytes)
        self._bytes.clear()
        try:
            return content.decode("utf-8")
        except UnicodeDecodeError:
            return "\ufffd" * len(content)

    def _stripped(self, text: str) -> str:
        while self._left_to_strip and text:
            if not text.startswith(self._strip):
                self._left_to_strip = 0
                break
            text = text[1:]
            self._left_to_strip -= 1
        return text


class WholeText:
    """Any other decoder: exact, but all of the text comes at the end."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._before: list[int] = []
        self._ids: list[int] = []

    def follow(self, before: Sequence[int]) -> None:
        self._before = list(before)

    def add(self, token: str, identifier: int) -> str:  # noqa: ARG002
        self._ids.append(identifier)
        return ""

    def finish(self) -> str:
        text: str = self._tokenizer.decode([*self._before, *self._ids])
        return text[len(self._tokenizer.decode(self._before)) :]


class TextStream:
    """The text of one row, growing."""

    def __init__(self, tokenizer: Tokenizer, special: frozenset[int], pieces: Pieces) -> None:
        self._token = tokenizer.id_to_token
        self._special = special
        self._pieces = pieces

    def add(self, identifier: int) -> str:
        """The text that is certain with this token: "" for a special one and while a character is incomplete."""
        if identifier in self._special:
            return ""
        token = self._token(identifier)
        return "" if token is None else self._pieces.add(token, identifier)

    def finish(self) -> str:
        """What was waiting for more."""
        return self._pieces.finish()


class Detokenizer:
    """Makes `TextStream`s for a tokenizer. Safe to share between threads."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        added = tokenizer.get_added_tokens_decoder()
        self._special_names = {token.content: identifier for identifier, token in added.items() if token.special}
        self.special = frozenset(self._special_names.values())
        self._new_pieces = _pieces_for(tokenizer)

    def stream(self, before: Sequence[int] = ()) -> TextStream:
        """For one row, from its first token on; the tokens `before` it are not shown again."""
        pieces = self._new_pieces()
        if any(identifier not in self.special for identifier in before):
            pieces.follow(before)
        return TextStream(self._tokenizer, self.special, pieces)

    def special_named(self, names: Sequence[str]) -> frozenset[int]:
        """The special tokens of these names, which no text shows; other names are passed over."""
        return frozenset(self._special_names[name] for name in names if name in self._special_names)

    def decode(self, ids: list[int]) -> str:
        """All at once, as the tokenizer does it."""
        text: str = self._tokenizer.decode(ids, skip_special_tokens=True)
        return text

    def token_text(self, identifier: int, *, first: bool = True) -> str:
        """One token by itself: a special one by its name, any other as it would begin a text, or go on with one."""
        if identifier in self.special:
            return self._tokenizer.id_to_token(identifier) or ""
        pieces = self._new_pieces()
        if not first:
            pieces.follow(())
        stream = TextStream(self._tokenizer, self.special, pieces)
        return stream.add(identifier) + stream.finish()


def _pieces_for(tokenizer: Tokenizer) -> Callable[[], Pieces]:
    if tokenizer.decoder is None:
        return lambda: WordPieces(lambda token, first: token if first else f" {token}")
    decoder: dict[str, Any] = json.loads(tokenizer.decoder.__getstate__())
    match decoder:
        case {"type": "ByteLevel"}:
            table = _byte_characters()
            return lambda: BytePieces(table)
        case {"type": "Metaspace", "replacement": str(mark), "prepend_scheme": scheme}:
            first_space = " " if scheme == "never" else ""
            return lambda: WordPieces(lambda token, first: token.replace(mark, first_space if first else " "))
        case {"type": "WordPiece", "prefix": str(prefix), "cleanup": bool(cleanup)}:
            return lambda: WordPieces(lambda token, first: _word_piece(token, first, prefix, cleanup))
        case {"type": "Sequence", "decoders": list(steps)}:
            arguments = _fallback_arguments(steps)
            if arguments is not None:
                return lambda: FallbackPieces(*arguments)
    return lambda: WholeText(tokenizer)


def _fallback_arguments(steps: list[dict[str, Any]]) -> tuple[str, str, str, int] | None:
    match steps:
        case [
            {"type": "Replace", "pattern": {"String": str(replaced)}, "content": str(replacement)},
            {"type": "ByteFallback"},
            {"type": "Fuse"},
        ]:
            return replaced, replacement, "", 0
        case [
            {"type": "Replace", "pattern": {"String": str(replaced)}, "content": str(replacement)},
            {"type": "ByteFallback"},
            {"type": "Fuse"},
            {"type": "Strip", "content": str(strip), "start": int(count), "stop": 0},
        ]:
            return replaced, replacement, strip, count
    return None


def _word_piece(token: str, first: bool, prefix: str, cleanup: bool) -> str:
    if not first:
        token = token.removeprefix(prefix) if token.startswith(prefix) else f" {token}"
    if cleanup:
        for written, meant in (
            (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m"),
            (" do not", " don't"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"),
        ):  # fmt: skip
            token = token.replace(written, meant)
    return token


def _byte_characters() -> dict[str, int]:
    """GPT-2's table: printable bytes stand for themselves, the others are counted up from U+0100."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + place): byte for place, byte in enumerate(others)}
