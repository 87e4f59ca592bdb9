"""Gate and calibration data: JSONL in, typed examples out, and a split so that nothing is judged on what tuned it."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from layers.catalogue import ModelSpec
from layers.errors import CatalogueError

SAMPLES = Path(__file__).parent / "samples"
# 96 texts settle the ranges of every site of the example models to within 1% (more moved none further).
CALIBRATION_TEXTS = 96
# Of the shipped sample, as many as keep BERT-base's whole build below three minutes on two cores: 64 + 128.
SAMPLE_TEXTS = 192
# Of transformers' default template, as requests have them.
HYPOTHESES = ("This example is software.", "This example is politics.", "This example is science.")
TARGET_KEYS = ("target", "summary", "translation")
FORM = '"text" (and "label" where known)'
FORMS = {
    "question-answering": '"question" and "context" (and "answers" where known)',
    "token-classification": '"text", or "tokens" and "tags"',
}


@dataclass(frozen=True)
class Example:
    """One example. `label` is a class name, a list of them, or None where the data has none.

    `target` is what an encoder-decoder should make of the text: a summary, a translation, an answer. `tags` are those
    of the text's words, which single spaces part. `answers` are passages of `text_pair` that answer `text`; an empty
    tuple says that none does.
    """

    text: str
    text_pair: str | None = None
    label: str | tuple[str, ...] | None = None
    target: str | None = None
    tags: tuple[str, ...] | None = None
    answers: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Examples:
    """Disjoint examples for calibration and for judgement, and where they came from."""

    calibration: tuple[Example, ...]
    judged: tuple[Example, ...]
    origin: str


def load_examples(spec: ModelSpec, catalogue_directory: Path) -> Examples:
    """The examples of `gate.data`, or of the sample that ships for the task.

    Raises CatalogueError when the file is missing or a line is not an example; the line is named.
    """
    if spec.gate.data is not None:
        return split(_read(spec, spec.task, catalogue_directory / spec.gate.data), spec.gate.data)
    return split(_sample(spec), f"the sample that ships for {spec.task}")


def split(examples: list[Example], origin: str) -> Examples:
    """Every k-th example calibrates (at most a third, at most CALIBRATION_TEXTS); the rest judge."""
    stride = max(3, -(-len(examples) // CALIBRATION_TEXTS))
    calibration = tuple(examples[::stride])
    judged = tuple(example for index, example in enumerate(examples) if index % stride)
    return Examples(calibration, judged, origin)


def _sample(spec: ModelSpec) -> list[Example]:
    """What ships for the task: pairs, where requests are read as pairs."""
    if spec.task in ("question-answering", "rerank"):
        questions = _read(spec, "question-answering", SAMPLES / "questions.jsonl")[:SAMPLE_TEXTS]
        # A reranker reads passages that answer, and others: here, every second question has that of another.
        others = [*questions[1:], questions[0]] if spec.task == "rerank" else questions
        pairs = enumerate(zip(questions, others, strict=True))
        return [replace(own, text_pair=(other if at % 2 else own).text_pair) for at, (own, other) in pairs]
    texts = _read(spec, spec.task, SAMPLES / "texts.jsonl")[:SAMPLE_TEXTS]
    if spec.task != "zero-shot-classification":
        return texts
    # Three in a row have one hypothesis, since of three one calibrates.
    return [replace(text, text_pair=HYPOTHESES[at // 3 % len(HYPOTHESES)]) for at, text in enumerate(texts)]


def _read(spec: ModelSpec, task: str, path: Path) -> list[Example]:
    if not path.is_file():
        raise CatalogueError(
            f"[{spec.name}.gate] data: {path} does not exist; paths are relative to the catalogue file."
        )
    try:
        content = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise CatalogueError(
            f"[{spec.name}.gate] data: {path.name} is not UTF-8: {error}. Save it as UTF-8."
        ) from error
    examples = []
    # Not splitlines(): it also parts at U+2028 and U+0085, which JSON allows inside a string.
    for number, line in enumerate(content.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            examples.append(_example(task, json.loads(line)))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CatalogueError(
                f"[{spec.name}.gate] data: {path.name} line {number} is not a {spec.task} example; "
                f"expected an object with {FORMS.get(spec.task, FORM)}."
            ) from error
    if len(examples) < 8:
        raise CatalogueError(
            f"[{spec.name}.gate] data: {path.name} has {len(examples)} examples; at least 8 are needed."
        )
    return examples


def _example(task: str, row: Any) -> Example:
    """Raises ValueError, KeyError, TypeError or AttributeError for a row that is none of the task."""
    if task == "token-classification" and "tokens" in row:
        return _tagged(row["tokens"], row.get("tags"))
    first, second = ("question", "context") if task == "question-answering" else ("text", "text_pair")
    label, answers = row.get("label"), row.get("answers") if task == "question-answering" else None
    example = Example(
        row[first],
        row[second] if task == "question-answering" else row.get(second),
        tuple(label) if isinstance(label, list) else label,
        next((row[key] for key in TARGET_KEYS if key in row), None),
        # SQuAD's form is {"text": [...], "answer_start": [...]}.
        answers=None if answers is None else _strings(answers["text"] if isinstance(answers, dict) else answers),
    )
    _strings([text for text in (example.text, example.text_pair, example.target) if text is not None])
    return example


def _tagged(tokens: Any, tags: Any) -> Example:
    words = _strings(tokens)
    if not words or any(len(word.split()) != 1 or word.strip() != word for word in words):
        raise ValueError("a token is no word")
    if tags is not None and len(tags) != len(words):
        raise ValueError("as many tags as tokens")
    return Example(" ".join(words), tags=None if tags is None else _strings(tags))


def _strings(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise TypeError("a list of strings")
    return tuple(values)
