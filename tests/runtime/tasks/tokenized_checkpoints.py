"""Tiny random checkpoints with tokenizers of the three kinds that encoders come with.

The tokenizers have 700 tokens each, trained with the trainers of the `tokenizers` library on the first 100 texts of the
compiler's sample: WordPiece behind BertNormalizer, byte-level BPE, Unigram with Metaspace. They are files because the
trainers do not give the same tokens twice.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from tests.compiler.checkpoints import HEADS, POSITIONS, Case, write_checkpoint

TOKENIZERS = Path(__file__).parent / "tokenizers"
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
    max_tokens: int
    settings: dict[str, Any] = field(default_factory=dict)


BERT_SETTINGS = {
    "clean_up_tokenization_spaces": True,
    "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
}
FAIRSEQ_ENDS = {"cls_token": "<s>", "sep_token": "</s>"}
KINDS = {
    "wordpiece": Kind("bert", BERT_TOKENS, POSITIONS, BERT_SETTINGS),
    "byte-level": Kind("roberta", FAIRSEQ_TOKENS, POSITIONS - 2, FAIRSEQ_ENDS),
    "sentencepiece": Kind("xlm-roberta", FAIRSEQ_TOKENS, POSITIONS - 2, FAIRSEQ_ENDS),
}


def write_tokenized(name: str, head: str, directory: Path, **options: Any) -> Path:
    """A checkpoint of that head with the tokenizer of that kind; `options` go into its configuration."""
    kind = KINDS[name]
    tokenizer = Tokenizer.from_file(str(TOKENIZERS / f"{name}.json"))
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
