"""Heads by the name that recipes know: the tasks that need one, transformers' class for it, the graph's outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class TaskHead:
    """What is the same of a head in every architecture. `outputs` are the graph's, with their axes.

    The runtime cuts padding from outputs that have a "sequence". Those of a head that writes text are in
    `layers/generation.py`.
    """

    tasks: tuple[str, ...]
    auto_class: str
    outputs: Mapping[str, tuple[str, ...]]


HEADS = {
    "sequence-classification": TaskHead(
        tasks=("text-classification", "zero-shot-classification", "rerank"),
        auto_class="AutoModelForSequenceClassification",
        outputs={"logits": ("batch", "labels")},
    ),
    "token-classification": TaskHead(
        tasks=("token-classification",),
        auto_class="AutoModelForTokenClassification",
        outputs={"logits": ("batch", "sequence", "labels")},
    ),
    "question-answering": TaskHead(
        tasks=("question-answering",),
        auto_class="AutoModelForQuestionAnswering",
        outputs={"start_logits": ("batch", "sequence"), "end_logits": ("batch", "sequence")},
    ),
    "masked-lm": TaskHead(
        tasks=("fill-mask",),
        auto_class="AutoModelForMaskedLM",
        outputs={"logits": ("batch", "sequence", "vocabulary")},
    ),
    "encoder": TaskHead(
        tasks=("feature-extraction", "sentence-similarity"),
        auto_class="AutoModel",
        outputs={"last_hidden_state": ("batch", "sequence", "hidden"), "sentence_embedding": ("batch", "dimension")},
    ),
    "causal-lm": TaskHead(tasks=("text-generation",), auto_class="AutoModelForCausalLM", outputs={}),
    "seq2seq": TaskHead(
        tasks=("text2text-generation", "summarization", "translation"),
        auto_class="AutoModelForSeq2SeqLM",
        outputs={},
    ),
}
HEAD_OF_TASK = {task: name for name, head in HEADS.items() for task in head.tasks}


def auto_class_of(task: str) -> str:
    """The name of the class of transformers that opens a checkpoint for a task."""
    return HEADS[HEAD_OF_TASK[task]].auto_class
