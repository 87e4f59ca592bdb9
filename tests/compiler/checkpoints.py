"""Tiny checkpoints with random weights, written by transformers itself, at sizes that no kernel likes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoConfig, PreTrainedModel

VOCABULARY = 1009
POSITIONS = 67
PAD = 1

# The model class and the task that a head is opened by.
HEADS: dict[str, tuple[Any, str]] = {
    "sequence-classification": (transformers.AutoModelForSequenceClassification, "text-classification"),
    "token-classification": (transformers.AutoModelForTokenClassification, "token-classification"),
    "question-answering": (transformers.AutoModelForQuestionAnswering, "question-answering"),
    "masked-lm": (transformers.AutoModelForMaskedLM, "fill-mask"),
    "encoder": (transformers.AutoModel, "feature-extraction"),
}

BERT_SIZES: dict[str, Any] = {
    "hidden_size": 36,
    "num_attention_heads": 3,
    "num_hidden_layers": 5,
    "intermediate_size": 53,
    "max_position_embeddings": POSITIONS,
    "type_vocab_size": 2,
}
# DeBERTa v3 as its checkpoints configure it, at tiny sizes.
DEBERTA_V3: dict[str, Any] = {
    **BERT_SIZES,
    "type_vocab_size": 0,
    "relative_attention": True,
    "position_buckets": 16,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "pos_att_type": "p2c|c2p",
    "position_biased_input": False,
    "max_relative_positions": -1,
}
SIZES: dict[str, dict[str, Any]] = {
    "bert": BERT_SIZES,
    "distilbert": {
        "dim": 36,
        "n_heads": 3,
        "n_layers": 5,
        "hidden_dim": 53,
        "max_position_embeddings": POSITIONS,
    },
    "electra": {**BERT_SIZES, "embedding_size": 19},
    "roberta": BERT_SIZES,
    "xlm-roberta": {**BERT_SIZES, "type_vocab_size": 1},
    "camembert": {**BERT_SIZES, "type_vocab_size": 1},
    "mpnet": {key: value for key, value in BERT_SIZES.items() if key != "type_vocab_size"},
    "albert": {**BERT_SIZES, "embedding_size": 19},
    "deberta-v2": DEBERTA_V3,
    "modernbert": {
        "hidden_size": 36,
        "num_attention_heads": 3,
        "num_hidden_layers": 5,
        "intermediate_size": 53,
        "max_position_embeddings": POSITIONS,
        "local_attention": 9,
        "cls_token_id": 2,
        "sep_token_id": 3,
        "bos_token_id": 2,
        "eos_token_id": 3,
    },
}
FAMILIES = tuple(SIZES)


@dataclass(frozen=True)
class Case:
    """One checkpoint to build: family, head, what its configuration changes, and how its weights are saved."""

    family: str
    head: str
    options: dict[str, Any] = field(default_factory=dict)
    dtype: torch.dtype = torch.float32
    max_shard_size: str = "1GB"
    name: str = ""

    @property
    def task(self) -> str:
        """The task that opens the head."""
        return HEADS[self.head][1]

    def __str__(self) -> str:
        return self.name or f"{self.family}-{self.head}"


def write_checkpoint(case: Case, directory: Path) -> Path:
    """Save `case` with every parameter random, biases and norms included; gives `directory`."""
    torch.manual_seed(len(str(case)))
    config = AutoConfig.for_model(
        case.family, **{"vocab_size": VOCABULARY, "pad_token_id": PAD, **SIZES[case.family], **case.options}
    )
    model = HEADS[case.head][0].from_config(config)
    randomize(model)
    model.to(case.dtype).save_pretrained(directory, max_shard_size=case.max_shard_size)
    return directory


def randomize(model: torch.nn.Module) -> None:
    """Weights wide enough that every part of the model moves its output."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("norm.weight") or "LayerNorm.weight" in name:
                parameter.uniform_(0.5, 1.5)
            elif parameter.ndim == 1:
                parameter.normal_(0, 0.3)
            else:
                parameter.normal_(0, 0.2)


def reference(case: Case, directory: Path) -> PreTrainedModel:
    """The unmodified transformers model in float32. Fails when transformers itself would invent a weight."""
    model, report = HEADS[case.head][0].from_pretrained(directory, dtype=torch.float32, output_loading_info=True)
    # Bert and Albert carry a pooler that a bare encoder's last_hidden_state does not read.
    assert not {key for key in report["missing_keys"] if "pooler" not in key}
    return model.eval()
