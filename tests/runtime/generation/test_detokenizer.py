"""Pieces add up to the tokenizer's own decode, and none of them ends within a character."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders

from layers.runtime.generation.detokenizer import Detokenizer, WholeText

MODELS = Path(__file__).parents[3] / "examples" / "models"
NAMES = ("debian-writer", "debian-summarizer", "debian-sections")
TEXTS = (
    "plain words, and then some", "  two spaces  first", "日本語のテキスト", "emoji 👩‍👩‍👧‍👦 🏳️‍🌈!",
    "Ελληνικά и кириллица", "עברית ועربى", "tabs\tand\nlines\r\n", "don't; isn't . ! ?", "naïve café Å Å",
    "", " ", "한국어",
)  # fmt: skip


def tokenizer(name: str) -> Tokenizer:
    read = Tokenizer.from_file(str(MODELS / name / "tokenizer.json"))
    read.no_padding()
    read.no_truncation()
    return read


def byte_fallback(strip: bool) -> Tokenizer:
    """Llama's way to decode, over tokens of bytes and of words."""
    from tokenizers import models

    vocabulary = {f"<0x{byte:02X}>": byte for byte in range(256)}
    for word in ("▁the", "▁", "▁▁x", "né", "日本", "</s>", "<0x1>"):
        vocabulary[word] = len(vocabulary)
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="▁"))
    made.add_special_tokens(["</s>"])
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    made.decoder = decoders.Sequence([*steps, decoders.Strip(" ", 1, 0)] if strip else steps)
    return made


TOKENIZERS = {name: tokenizer(name) for name in NAMES} | {
    "byte fallback": byte_fallback(strip=False),
    "byte fallback and strip": byte_fallback(strip=True),
}
TOKENIZERS["added"] = tokenizer("debian-writer")
TOKENIZERS["added"].add_tokens([AddedToken("<ünïcode tag>", normalized=False)])
ASSEMBLED = {name: Detokenizer(one) for name, one in TOKENIZERS.items()}


def pieces(detokenizer: Detokenizer, ids: list[int], before: Sequence[int] = ()) -> list[str]:
    stream = detokenizer.stream(before)
    return [*(stream.add(identifier) for identifier in ids), stream.finish()]


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize("text", TEXTS)
def test_texts_come_back_whole(name: str, text: str) -> None:
    ids = TOKENIZERS[name].encode(text).ids
    assert "".join(pieces(ASSEMBLED[name], ids)) == TOKENIZERS[name].decode(ids)


@settings(max_examples=100, deadline=None)
@given(text=st.text(max_size=40))
@pytest.mark.parametrize("name", TOKENIZERS)
def test_any_text(name: str, text: str) -> None:
    ids = TOKENIZERS[name].encode(text).ids
    assert "".join(pieces(ASSEMBLED[name], ids)) == TOKENIZERS[name].decode(ids)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("name", TOKENIZERS)
def test_any_tokens(name: str, data: st.DataObject) -> None:
    size = TOKENIZERS[name].get_vocab_size()
    low = st.integers(0, min(size - 1, 300))  # single bytes and special tokens: most of what can go wrong
    ids = data.draw(st.lists(low | st.integers(0, size + 5), max_size=30))
    assert "".join(pieces(ASSEMBLED[name], ids)) == TOKENIZERS[name].decode(ids)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("name", TOKENIZERS)
def test_what_follows_a_prompt_is_what_both_have_beyond_it(name: str, text: str) -> None:
    whole = TOKENIZERS[name].encode(text).ids
    for cut in range(len(whole) + 1):
        before = TOKENIZERS[name].decode(whole[:cut])
        if before.endswith("\ufffd"):
            continue  # within a character
        shown = "".join(pieces(ASSEMBLED[name], whole[cut:], whole[:cut]))
        assert before + shown == TOKENIZERS[name].decode(whole)


def test_a_word_behind_a_prompt_keeps_its_space() -> None:
    llama = TOKENIZERS["byte fallback and strip"]
    the, end = llama.token_to_id("▁the"), llama.token_to_id("</s>")
    assert pieces(ASSEMBLED["byte fallback and strip"], [the], [the])[0] == " the"
    assert pieces(ASSEMBLED["byte fallback and strip"], [the], [end])[0] == "the"
    names = [ASSEMBLED["byte fallback and strip"].token_text(the, first=first) for first in (True, False)]
    assert names == ["the", " the"]
    summarizer = TOKENIZERS["debian-summarizer"]
    [word, *_] = summarizer.encode("the").ids
    assert pieces(ASSEMBLED["debian-summarizer"], [word], [word])[0] == " the"


@pytest.mark.parametrize("name", ["debian-writer", "byte fallback"])
def test_characters_are_not_split(name: str) -> None:
    if name == "byte fallback":
        ids = [*"日🙂é".encode(), 256]
        expected = "日🙂é the"
    else:
        expected = "日🙂é the"
        ids = TOKENIZERS[name].encode(expected).ids
    shown = pieces(ASSEMBLED[name], ids)
    assert "".join(shown) == expected
    assert not any("\ufffd" in piece for piece in shown)


def test_bytes_without_their_end_come_last() -> None:
    ids = TOKENIZERS["debian-writer"].encode("🙂").ids[:-1]
    assert len(ids) >= 1
    *before, last = pieces(ASSEMBLED["debian-writer"], ids)
    assert "".join(before) == ""
    assert last == TOKENIZERS["debian-writer"].decode(ids)


def test_special_tokens_have_names_but_no_text() -> None:
    detokenizer = ASSEMBLED["debian-writer"]
    assert detokenizer.special == {0}
    assert pieces(detokenizer, [0]) == ["", ""]
    assert detokenizer.token_text(0) == "<|endoftext|>"


def test_another_decoder_is_exact_at_the_end() -> None:
    other = tokenizer("debian-writer")
    other.decoder = decoders.BPEDecoder("</w>")
    detokenizer = Detokenizer(other)
    ids = other.encode("some words").ids
    *before, last = pieces(detokenizer, ids)
    assert "".join(before) == ""
    assert last == other.decode(ids)
    assert isinstance(detokenizer.stream()._pieces, WholeText)
    assert "".join(pieces(detokenizer, ids[1:], ids[:1])) == other.decode(ids)[len(other.decode(ids[:1])) :]
