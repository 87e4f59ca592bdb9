"""Combining marks: normalized text is SentencePiece's own, for text as people and file systems write it."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest
import sentencepiece
from tokenizers import normalizers

from layers.compiler.mark_order import with_marks_as_sentencepiece_reads_them

ROOT = Path(__file__).resolve().parent.parent.parent
TEXTS = [
    "Tôi đã ăn phở ở Hà Nội, rất ngon và rẻ",
    "Où est l'été? Zażółć gęślą jaźń, ÅNGSTRÖM",
    "ὁ βίος βραχύς, ἡ δὲ τέχνη μακρή",
    "בְּרֵאשִׁית בָּרָא אֱלֹהִים",
    "الْحَمْدُ لِلَّهِ رَبِّ الْعَالَمِينَ",
    "한국어 が ぱ ひらがな",
    "हिन्दी में क़लम और ज़मीन",
    "family 👨‍👩‍👧‍👦 flag 🇪🇺",
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SentencePiece model with the usual normalization (nmt_nfkc)."""
    prefix = tmp_path_factory.mktemp("spm") / "spm"
    path = ROOT / "examples/models/debian-writer/heldout.jsonl"
    lines = [json.loads(line)["text"][:300] for line in path.read_text(encoding="utf-8").splitlines()]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_prefix=str(prefix), vocab_size=500, minloglevel=2
    )
    return prefix.with_suffix(".model")


@pytest.fixture(scope="module")
def normalizer(model: Path) -> normalizers.Normalizer:
    """Of the Rust library, from the model's own table."""
    from transformers.convert_slow_tokenizer import import_protobuf

    proto = import_protobuf().ModelProto()
    proto.ParseFromString(model.read_bytes())
    table = proto.normalizer_spec.precompiled_charsmap
    return with_marks_as_sentencepiece_reads_them(normalizers.Precompiled(table))


def written(text: str) -> list[str]:
    """Composed, taken apart, and with two marks in an order that is not canonical."""
    return [text, unicodedata.normalize("NFD", text), f"{text} a\u0308\u0323 e\u0301\u0323"]


@pytest.mark.parametrize("text", [way for text in TEXTS for way in written(text)])
def test_marks_are_read_as_sentencepiece_reads_them(text: str, model: Path, normalizer: normalizers.Normalizer) -> None:
    exact = sentencepiece.SentencePieceProcessor(model_file=str(model)).normalize(text)
    assert normalizer.normalize_str(text) == exact.removeprefix("▁").replace("▁", " ")


def test_other_normalizers_stay_as_they_are() -> None:
    lowercase = normalizers.Lowercase()
    assert with_marks_as_sentencepiece_reads_them(lowercase) is lowercase
