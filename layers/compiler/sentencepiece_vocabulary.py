"""Tokenizers that cut text as a SentencePiece model does but number the pieces by a vocabulary file of their own.

Marian and M2M100: transformers has no conversion of theirs to the Rust library. The model becomes a Unigram or BPE
whose pieces stand at the vocabulary's numbers; what only the vocabulary knows is put where no text can match it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tokenizers import AddedToken, Tokenizer, models, processors

from layers.compiler.mark_order import with_marks_as_sentencepiece_reads_them

UNIGRAM, BPE = 1, 2
# SentencePiece's types of pieces that are cut from text: normal, and defined by the user.
CUT_FROM_TEXT = (1, 4)
# A private-use character that no normalized text begins a piece with.
UNMATCHABLE = "\ue0ff"


def is_renumbered(reference: Any) -> bool:
    """Whether transformers' `reference` is of this kind. Other Python tokenizers are code: ByT5, BERTweet, Japanese."""
    return hasattr(reference, "encoder") and (hasattr(reference, "spm_files") or hasattr(reference, "spm_file"))


def source_tokenizer(reference: Any) -> Tokenizer:
    """`tokenizer.json` of a Python tokenizer with `encoder` (piece to number) and a SentencePiece file."""
    if not hasattr(reference, "spm_files"):
        return _finished(_renumbered(Path(reference.spm_file), reference.encoder, reference.unk_token), reference)
    # Marian's vocabulary holds the pieces of two models: those of the target's alone must not cut the source.
    kept = {*reference.added_tokens_encoder, *reference.supported_language_codes, reference.unk_token}
    file = Path(reference.spm_files[0])
    return _finished(_renumbered(file, reference.encoder, reference.unk_token, kept), reference)


def target_tokenizer(reference: Any) -> Tokenizer | None:
    """What turns numbers back into text, where it differs; it is not meant to cut text."""
    if not hasattr(reference, "spm_files"):
        return None
    vocabulary = reference.target_encoder if reference.separate_vocabs else reference.encoder
    return _finished(_renumbered(Path(reference.spm_files[1]), vocabulary, reference.unk_token), reference)


def _renumbered(
    file: Path, vocabulary: Mapping[str, int], unknown: str, kept: Collection[str] | None = None
) -> Tokenizer:
    """The model of `file` with the vocabulary's numbers; with `kept`, other pieces that it does not know are hidden."""
    from transformers.convert_slow_tokenizer import SpmConverter, generate_merges

    class Renumbering(SpmConverter):  # type: ignore[misc]
        def tokenizer(self, proto: Any) -> Tokenizer:
            algorithm = proto.trainer_spec.model_type
            if algorithm == BPE:
                ranked = {piece.piece: piece.score for piece in proto.pieces}
                merges = generate_merges({piece: number for number, piece in enumerate(ranked)}, ranked)
                known = [pair for pair in merges if {*pair, "".join(pair)} <= vocabulary.keys()]
                return Tokenizer(models.BPE(dict(vocabulary), known, unk_token=unknown, fuse_unk=True))
            scores = {piece.piece: piece.score for piece in proto.pieces if piece.type in CUT_FROM_TEXT}
            floor = min(scores.values())
            names = [f"{UNMATCHABLE}{number}" for number in range(max(vocabulary.values()) + 1)]
            for name, number in vocabulary.items():
                if kept is None or name in scores or name in kept:
                    names[number] = name
            pieces = [(name, scores.get(name, floor)) for name in names]
            return Tokenizer(models.Unigram(pieces, unk_id=vocabulary[unknown]))

    tokenizer: Tokenizer = Renumbering(SimpleNamespace(vocab_file=str(file))).converted()
    if tokenizer.normalizer is not None:
        tokenizer.normalizer = with_marks_as_sentencepiece_reads_them(tokenizer.normalizer)
    return tokenizer


def _finished(tokenizer: Tokenizer, reference: Any) -> Tokenizer:
    """With the reference's special tokens and what it puts around a text."""
    tokens = {**reference.added_tokens_encoder, **getattr(reference, "lang_token_to_id", {})}
    codes = getattr(reference, "supported_language_codes", [])
    specials = [
        AddedToken(name, special=True, normalized=False) for name, _ in sorted(tokens.items(), key=lambda t: t[1])
    ]
    tokenizer.add_special_tokens(specials)
    tokenizer.add_tokens([AddedToken(code, normalized=False) for code in codes])
    mark = -1
    around = reference.build_inputs_with_special_tokens([mark])
    names = {number: reference.convert_ids_to_tokens(number) for number in around if number != mark}
    single = " ".join("$A" if number == mark else names[number] for number in around)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=single, pair=f"{single} $B:1", special_tokens=[(name, number) for number, name in names.items()]
    )
    return tokenizer
