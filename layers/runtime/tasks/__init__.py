"""The tasks, by the name clients call them. A new task is one file beside this one and one line here."""

from __future__ import annotations

from layers.runtime.tasks import (
    chat,
    completion,
    embed_all,
    embedding,
    feature_extraction,
    fill_mask,
    question_answering,
    rerank,
    sentence_similarity,
    summarization,
    text2text_generation,
    text_classification,
    text_generation,
    token_classification,
    tokens,
    translation,
    zero_shot_classification,
)
from layers.runtime.tasks.task import Task

TASKS: dict[str, Task] = {
    "text-classification": text_classification.TASK,
    "zero-shot-classification": zero_shot_classification.TASK,
    "rerank": rerank.TASK,
    "token-classification": token_classification.TASK,
    "question-answering": question_answering.TASK,
    "fill-mask": fill_mask.TASK,
    "feature-extraction": feature_extraction.TASK,
    "sentence-similarity": sentence_similarity.TASK,
    "embed": embedding.TASK,
    "text-generation": text_generation.TASK,
    "text2text-generation": text2text_generation.TASK,
    "summarization": summarization.TASK,
    "translation": translation.TASK,
}

# Answered at routes of their own, and not named among what a model can do.
UNLISTED: dict[str, Task] = {
    "completion": completion.TASK,
    "chat": chat.TASK,
    "embed_all": embed_all.TASK,
    "tokenize": tokens.TOKENIZE,
    "decode": tokens.DECODE,
}
