"""Tokenizers that transformers runs in Python, as the Rust library reads them: the same numbers and the same text."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pytest
import sentencepiece
from tokenizers import Tokenizer
from transformers import AutoTokenizer, M2M100Tokenizer, MarianTokenizer

from layers.compiler.generation_info import language_prefixes
from layers.compiler.tokenizer import TARGET_TOKENIZER, convert

ROOT = Path(__file__).resolve().parents[2]
SPECIAL = ("</s>", "<unk>", "<pad>")


def lines(name: str) -> list[str]:
    """Beginnings only: in a text of 11,000 pieces, two cuts of one score are told apart by rounding."""
    path = ROOT / "examples/models" / name / "heldout.jsonl"
    return [json.loads(line)["text"][:600] for line in path.read_text(encoding="utf-8").splitlines()]


def train(texts: Iterable[str], prefix: Path, kind: str, size: int) -> list[str]:
    """A SentencePiece model at `prefix`; gives its pieces."""
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_prefix=str(prefix), vocab_size=size, model_type=kind, minloglevel=2
    )
    model = sentencepiece.SentencePieceProcessor(model_file=f"{prefix}.model")
    return [model.IdToPiece(number) for number in range(model.GetPieceSize()) if not model.IsControl(number)]


@pytest.fixture(scope="module", params=["shared", "apart"])
def marian(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("marian")
    texts = lines("debian-writer")
    source = train(texts, directory / "source", "unigram", 700)
    target = train([text[::-1] for text in texts], directory / "target", "unigram", 600)
    apart = request.param == "apart"
    files = {"vocab": [*source, *([] if apart else [*target, ">>fra<<"])], "target": target}
    for name, pieces in files.items():
        # Numbers of their own: not those of the model.
        numbered = {piece: number for number, piece in enumerate(dict.fromkeys([*SPECIAL, *reversed(pieces)]))}
        (directory / f"{name}.json").write_text(json.dumps(numbered), encoding="utf-8")
    MarianTokenizer(
        str(directory / "source.model"),
        str(directory / "target.model"),
        str(directory / "vocab.json"),
        str(directory / "target.json") if apart else None,
        separate_vocabs=apart,
    ).save_pretrained(directory / "saved")
    (directory / "saved/config.json").write_text('{"model_type": "marian"}', encoding="utf-8")
    return directory / "saved"


def test_marian_reads_and_writes_as_transformers_does(marian: Path, tmp_path: Path) -> None:
    convert(marian, tmp_path)
    reference = AutoTokenizer.from_pretrained(marian)
    source = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    target = Tokenizer.from_file(str(tmp_path / TARGET_TOKENIZER))
    for text in lines("debian-summarizer")[:100]:
        assert source.encode(text).ids == reference(text)["input_ids"]
        ids = reference(text_target=text[::-1])["input_ids"]
        assert target.decode(ids) == reference.decode(ids, skip_special_tokens=True)


def test_marian_takes_a_language_code_first(marian: Path, tmp_path: Path) -> None:
    reference = AutoTokenizer.from_pretrained(marian)
    if not reference.supported_language_codes:
        return
    convert(marian, tmp_path)
    text = ">>fra<< A small library for parsing."
    ids = Tokenizer.from_file(str(tmp_path / "tokenizer.json")).encode(text).ids
    assert ids == reference(text)["input_ids"]
    assert ids[0] == reference.encoder[">>fra<<"]


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_m2m100_reads_and_writes_as_transformers_does(kind: str, tmp_path: Path) -> None:
    pieces = train(lines("debian-writer"), tmp_path / "spm", kind, 700)
    vocabulary = {
        piece: number for number, piece in enumerate(dict.fromkeys(["<s>", "<pad>", "</s>", "<unk>", *pieces]))
    }
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    saved, output = tmp_path / "saved", tmp_path / "out"
    output.mkdir()
    M2M100Tokenizer(str(tmp_path / "vocab.json"), str(tmp_path / "spm.model"), src_lang="de").save_pretrained(saved)
    (saved / "config.json").write_text('{"model_type": "m2m_100"}', encoding="utf-8")
    convert(saved, output)
    reference = AutoTokenizer.from_pretrained(saved)
    written = Tokenizer.from_file(str(output / "tokenizer.json"))
    assert written.token_to_id("__fr__") == reference.get_lang_id("fr")
    prefixes = dict(language_prefixes(reference))
    assert prefixes["source:de"] == prefixes["target:de"] == (reference.get_lang_id("de"),)
    assert prefixes["target:fr"] == (reference.get_lang_id("fr"),)
    assert len(prefixes) == 2 * 100
    for text in lines("debian-summarizer")[:100]:
        ids = reference(text)["input_ids"]
        assert written.encode(text).ids == ids
        # transformers 5.23 leaves the language's token in the text, whatever skip_special_tokens says.
        assert written.decode(ids) == reference.decode(ids[1:], skip_special_tokens=True)
    assert not (output / TARGET_TOKENIZER).exists()
