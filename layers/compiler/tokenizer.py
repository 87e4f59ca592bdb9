"""The checkpoint's tokenizer as the `tokenizer.json` that the Rust library reads, proven equal before it ships."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from layers.artifact import TOKENIZER, TokenizerFacts
from layers.compiler.checkpoint import read_by_transformers
from layers.compiler.sentencepiece_vocabulary import is_renumbered, source_tokenizer, target_tokenizer
from layers.errors import CheckpointError, UnsupportedError

# The target's, where it is not the source's (Marian).
TARGET_TOKENIZER = "tokenizer.target.json"
# Files that may hold a tokenizer; those present are hashed into the manifest as sources.
SOURCES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "spiece.model",
    "spm.model",
    "sentencepiece.bpe.model",
    "source.spm",
    "target.spm",
    "target_vocab.json",
    "tokenizer.model",
)
# Scripts, accents, emoji with joiners, right-to-left, combining marks, runs of spaces, nothing at all.
PROBES = (
    "The quick brown fox doesn't jump over 3,141 lazy dogs.",
    "Zażółć gęślą jaźń. Où est l'été? Straße, naïve, ÅNGSTRÖM",
    "Съешь же ещё этих мягких французских булок",
    "素早い茶色の狐が怠け者の犬を飛び越える 天地玄黃",
    "빠른 갈색 여우 ตัวอย่างภาษาไทย",
    "نص حكيم له سر قاطع שלום עולם",
    "family 👨‍👩‍👧‍👦 flag 🇪🇺 e\u0301 a\u0308\u0323",
    "tabs\tand\nnewlines  and   spaces ",
    "<s> [CLS] [MASK] <mask> </s> @user https://example.org/a?b=c#d",
    "",
)
# transformers' way of saying that a tokenizer states no limit.
NO_LIMIT = 10**9


@dataclass(frozen=True)
class ConvertedTokenizer:
    """What the build needs to know of the tokenizer it wrote. `files` are names in the checkpoint."""

    max_tokens: int | None
    pad_token_id: int
    facts: TokenizerFacts
    files: tuple[str, ...]


def convert(directory: Path, output: Path) -> ConvertedTokenizer:
    """Write `tokenizer.json` into `output`, converted from slow or SentencePiece files where need be.

    Raises CheckpointError when the checkpoint has no tokenizer, or the written one encodes a probe otherwise
    than transformers does; UnsupportedError for one that is Python code alone.
    """
    from transformers import AutoTokenizer  # takes seconds to import

    files = tuple(name for name in SOURCES if (directory / name).is_file())
    if not files:
        raise CheckpointError(f"{directory}: no tokenizer; expected one of {', '.join(SOURCES)}.")
    with read_by_transformers("tokenizer", directory):
        reference: Any = AutoTokenizer.from_pretrained(directory)
    backend, target = _of_the_rust_library(reference, directory)
    backend.no_truncation()
    backend.no_padding()
    backend.save(str(output / TOKENIZER))
    if target is not None:
        target.save(str(output / TARGET_TOKENIZER))
    _prove_equal(directory, reference, Tokenizer.from_file(str(output / TOKENIZER)))
    limit = reference.model_max_length
    return ConvertedTokenizer(
        max_tokens=int(limit) if limit and limit < NO_LIMIT else None,
        pad_token_id=reference.pad_token_id or 0,
        facts=TokenizerFacts(
            mask_token_id=reference.mask_token_id,
            unk_token_id=reference.unk_token_id,
            cls_token_id=reference.cls_token_id,
            cleans_up_spaces=bool(reference.clean_up_tokenization_spaces),
            truncation_side=reference.truncation_side,
        ),
        files=files,
    )


def _of_the_rust_library(reference: Any, directory: Path) -> tuple[Tokenizer, Tokenizer | None]:
    """The tokenizer, and the target's where it is another one."""
    if hasattr(reference, "backend_tokenizer"):
        return Tokenizer.from_str(reference.backend_tokenizer.to_str()), None
    if is_renumbered(reference):
        return source_tokenizer(reference), target_tokenizer(reference)
    raise UnsupportedError(
        f"tokenizer, for {directory.name}: got {type(reference).__name__}, which transformers has in Python alone, "
        "expected one of the Rust library, or a SentencePiece model with a vocabulary of its own. Choose a checkpoint "
        "with a fast tokenizer, or write the conversion beside layers/compiler/sentencepiece_vocabulary.py."
    )


def _prove_equal(directory: Path, reference: Any, written: Tokenizer) -> None:
    for probe in PROBES:
        expected, got = reference(probe)["input_ids"], written.encode(probe).ids
        if expected != got:
            raise CheckpointError(
                f"{directory.name}: the converted tokenizer differs on {probe!r}: got {got[:12]}, transformers gives "
                f"{expected[:12]}. Please report the checkpoint; nothing was written."
            )
