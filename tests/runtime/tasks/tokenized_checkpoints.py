"""Tiny random checkpoints with tokenizers of the three kinds that encoders come with, trained on real text."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from tests.compiler.checkpoints import HEADS, POSITIONS, Case, write_checkpoint

SAMPLE = Path(__file__).parents[3] / "layers" / "compiler" / "samples" / "texts.jsonl"
TOKENS = 700
# Special tokens in the order of their ids; padding is 1 where fairseq numbers its positions from it.
BERT_TOKENS = {
    "unk_token": "[UNK]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
FAIRSEQ_TOKENS = {
    "bos_token": "<s>",
    "pad_token": "<pad>",
    "eos_token": "</s>",
    "unk_token": "<unk>",
    "mask_token": "<mask>",
}


@dataclass(frozen=True)
class Kind:
    """A tokenizer of one kind and the family of models that uses it."""

    family: str
    special: dict[str, str]
    train: Callable[[list[str]], Tokenizer]
    max_tokens: int
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def mask(self) -> str:
        """As it is written in a text."""
        return self.special["mask_token"]


def _word_pieces(names: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    tokenizer.train_from_iterator(
        sample(), trainers.WordPieceTrainer(vocab_size=TOKENS, special_tokens=names, show_progress=False)
    )
    ends = [(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ends
    )
    return tokenizer


def _byte_level(names: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=TOKENS, special_tokens=names, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(sample(), trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    return tokenizer


def _pieces_of_sentences(names: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace("\u00a0", " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=TOKENS, special_tokens=names, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(sample(), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return tokenizer


BERT_SETTINGS = {
    "clean_up_tokenization_spaces": True,
    "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
}
FAIRSEQ_ENDS = {"cls_token": "<s>", "sep_token": "</s>"}
KINDS = {
    "wordpiece": Kind("bert", BERT_TOKENS, _word_pieces, POSITIONS, BERT_SETTINGS),
    "byte-level": Kind("roberta", FAIRSEQ_TOKENS, _byte_level, POSITIONS - 2, FAIRSEQ_ENDS),
    "sentencepiece": Kind("xlm-roberta", FAIRSEQ_TOKENS, _pieces_of_sentences, POSITIONS - 2, FAIRSEQ_ENDS),
}


@cache
def sample() -> list[str]:
    """Real descriptions, a hundred of them."""
    lines = SAMPLE.read_text(encoding="utf-8").splitlines()[:100]
    return [json.loads(line)["text"] for line in lines]


@cache
def tokenizer_of(name: str) -> Tokenizer:
    """Trained once in a process."""
    kind = KINDS[name]
    return kind.train(list(kind.special.values()))


def write_tokenized(name: str, head: str, directory: Path, **options: Any) -> Path:
    """A checkpoint of that head with the tokenizer of that kind; `options` go into its configuration."""
    kind = KINDS[name]
    tokenizer = tokenizer_of(name)
    if "id2label" in options:
        options["label2id"] = {label: number for number, label in options["id2label"].items()}
    options = {"vocab_size": tokenizer.get_vocab_size(), "pad_token_id": 1, **options}
    write_checkpoint(Case(kind.family, head, options, name=f"{name}-{head}"), directory)
    _let_tokens_matter(reference_model(head, directory)).save_pretrained(directory)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=kind.max_tokens, **kind.special, **kind.settings
    )
    fast.save_pretrained(directory)
    return directory


def reference_model(head: str, directory: Path) -> PreTrainedModel:
    """The unmodified transformers model in float32."""
    model: PreTrainedModel = HEADS[head][0].from_pretrained(directory, dtype=torch.float32)
    return model.eval()


def _let_tokens_matter(model: PreTrainedModel) -> PreTrainedModel:
    """Weights by which tokens of one text differ: attention, which makes them alike, and biases are turned down."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "word_embeddings" in name:
                parameter.mul_(10)
            elif parameter.ndim == 1 and "LayerNorm.weight" not in name:
                parameter.mul_(0.1)
            elif "attention.output.dense" in name:
                parameter.mul_(0.3)
    return model
