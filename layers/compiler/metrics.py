"""The gate's metrics: per-example statistics that add up, so that every difference can be paired.

A metric gives each example a row of numbers; its value over any set of examples is `aggregate(sum of rows)`.
That makes the paired bootstrap one matrix product, whatever the metric.
"""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from layers.compiler.examples import Example

Array = NDArray[np.float64]
Outputs = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Judged:
    """What a metric may look at: the examples and their target tokens, fp32's outputs, and the class names.

    `places` join the tokens with what the data says. Tagging: [words], the token that decides for each word, -1 for
    words that were cut off. Question answering: [sequence, 2], each token's characters of the context, -1 elsewhere.
    """

    examples: Sequence[Example]
    targets: Sequence[NDArray[np.int64]] | None
    reference: Sequence[Outputs]
    labels: tuple[str, ...]
    places: Sequence[NDArray[np.int64]] | None = None


@dataclass(frozen=True)
class Metric:
    """`statistics(judged, outputs)` -> [n, k]; `aggregate` maps [..., k] sums to values [...]."""

    name: str
    statistics: Callable[[Judged, Sequence[Outputs]], Array]
    aggregate: Callable[[Array], Array]
    higher_is_better: bool = True


def _mean(sums: Array) -> Array:
    return np.asarray(sums[..., 0] / sums[..., 1])


def _counted(values: Sequence[float]) -> Array:
    return np.stack([np.asarray(values, np.float64), np.ones(len(values))], axis=1)


def _classes(judged: Judged) -> list[int]:
    index = {label: number for number, label in enumerate(judged.labels)}
    return [index[str(example.label)] for example in judged.examples]


def _accuracy(judged: Judged, outputs: Sequence[Outputs]) -> Array:
    predicted = [int(o["logits"].argmax()) for o in outputs]
    return _counted([float(p == c) for p, c in zip(predicted, _classes(judged), strict=True)])


def _agreement(judged: Judged, outputs: Sequence[Outputs]) -> Array:
    """Share of positions (or texts) where the variant decides as fp32 does; for multi-label heads, of labels."""
    return _counted(
        [
            float(np.mean(o["logits"].argmax(-1) == r["logits"].argmax(-1)))
            for o, r in zip(outputs, judged.reference, strict=True)
        ]
    )


def _label_agreement(judged: Judged, outputs: Sequence[Outputs]) -> Array:
    return _counted(
        [float(np.mean((o["logits"] > 0) == (r["logits"] > 0))) for o, r in zip(outputs, judged.reference, strict=True)]
    )


def _macro_f1(judged: Judged, outputs: Sequence[Outputs]) -> Array:
    """True positives, predicted and actual per class, side by side."""
    width = len(judged.labels)
    rows = np.zeros((len(outputs), 3 * width))
    for row, output, actual in zip(rows, outputs, _classes(judged), strict=True):
        predicted = int(output["logits"].argmax())
        row[predicted] += predicted == actual
        row[width + predicted] += 1
        row[2 * width + actual] += 1
    return rows


def _macro_f1_value(sums: Array) -> Array:
    hits, predicted, actual = np.split(sums, 3, axis=-1)
    present = (predicted + actual) > 0
    f1 = np.divide(2 * hits, predicted + actual, out=np.zeros_like(hits), where=present)
    return np.asarray(f1.sum(-1) / np.maximum(present.sum(-1), 1))


def _cosine(judged: Judged, outputs: Sequence[Outputs]) -> Array:
    a = np.stack([o["sentence_embedding"] for o in outputs]).astype(np.float64)
    b = np.stack([r["sentence_embedding"] for r in judged.reference]).astype(np.float64)
    cosines = (a * b).sum(1) / np.maximum(np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1), 1e-30)
    return _counted(list(cosines))


def _spearman(judged: Judged, outputs: Sequence[Outputs]) -> Array:
    """Per text: rank correlation between its similarities to all other texts, variant against fp32."""

    def ranks(results: Sequence[Outputs]) -> Array:
        vectors = np.stack([o["sentence_embedding"] for o in results]).astype(np.float64)
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-30)
        order = (vectors @ vectors.T).argsort(axis=1).argsort(axis=1).astype(np.float64)
        order -= order.mean(axis=1, keepdims=True)
        return np.asarray(order / np.linalg.norm(order, axis=1, keepdims=True))

    return _counted(list((ranks(outputs) * ranks(judged.reference)).sum(axis=1)))


def spans(tags: Sequence[str]) -> set[tuple[int, int, str]]:
    """Entity spans [begin, end) of a B-/I- (or bare) tag sequence; "O" is outside."""
    found, begin, kind = set(), 0, ""
    for position, tag in enumerate([*tags, "O"]):
        prefix, _, name = tag.partition("-") if tag[:2] in ("B-", "I-") else ("", "", "" if tag == "O" else tag)
        if kind and (name != kind or prefix == "B"):
            found.add((begin, position, kind))
            kind = ""
        if name and not kind:
            begin, kind = position, name
    return found


def _span_f1(judged: Judged, outputs: Sequence[Outputs]) -> Array:
    """Spans in common with fp32's, predicted, and fp32's own."""

    def tagged(output: Outputs) -> set[tuple[int, int, str]]:
        return spans([judged.labels[i] for i in output["logits"].argmax(-1)])

    pairs = [(tagged(o), tagged(r)) for o, r in zip(outputs, judged.reference, strict=True)]
    return np.array([[len(a & b), len(a), len(b)] for a, b in pairs], np.float64)


def _word_tags(judged: Judged, outputs: Sequence[Outputs]) -> list[tuple[list[str], list[str]]]:
    """Each example's tags, those found and those in the data; a word's first token decides, as it is trained to."""
    assert judged.places is not None
    pairs = []
    for example, places, output in zip(judged.examples, judged.places, outputs, strict=True):
        found = output["logits"][places[places >= 0]].argmax(-1)
        actual = [tag for tag, place in zip(example.tags or (), places, strict=True) if place >= 0]
        pairs.append(([judged.labels[index] for index in found], actual))
    return pairs


def _labelled_span_f1(judged: Judged, outputs: Sequence[Outputs]) -> Array:
    """Spans in common with the data's, found, and the data's own."""
    pairs = [(spans(found), spans(actual)) for found, actual in _word_tags(judged, outputs)]
    return np.array([[len(a & b), len(a), len(b)] for a, b in pairs], np.float64)


def _tag_accuracy(judged: Judged, outputs: Sequence[Outputs]) -> Array:
    """Words that have the data's tag, and words."""
    pairs = _word_tags(judged, outputs)
    return np.array([(sum(map(str.__eq__, *pair)), len(pair[1])) for pair in pairs], np.float64)


def _f1_value(sums: Array) -> Array:
    hits, predicted, actual = np.moveaxis(sums, -1, 0)
    return np.asarray(np.where(predicted + actual > 0, 2 * hits / np.maximum(predicted + actual, 1), 1.0))


def _answer_f1(judged: Judged, outputs: Sequence[Outputs]) -> Array:
    """SQuAD's F1 between the answer's tokens and those of fp32's answer."""

    def answer(output: Outputs) -> tuple[int, int]:
        scores = output["start_logits"][:, None] + output["end_logits"][None, :]
        scores = np.where(np.tri(len(scores), dtype=bool).T, scores, -np.inf)
        begin, end = np.unravel_index(int(scores.argmax()), scores.shape)
        return int(begin), int(end) + 1

    rows = []
    for output, reference in zip(outputs, judged.reference, strict=True):
        (a0, a1), (b0, b1) = answer(output), answer(reference)
        shared = max(0, min(a1, b1) - max(a0, b0))
        rows.append(2 * shared / ((a1 - a0) + (b1 - b0)))
    return _counted(rows)


def _squad_f1(judged: Judged, outputs: Sequence[Outputs]) -> Array:
    """SQuAD's F1: words in common with the nearest of the data's answers. "" is found where the data has it at all."""
    assert judged.places is not None
    may_be_none = any(not example.answers for example in judged.examples)
    rows = []
    for example, places, output in zip(judged.examples, judged.places, outputs, strict=True):
        found = _passage(example.text_pair or "", places, output, may_be_none=may_be_none)
        rows.append(max(_overlap(_words(found), _words(answer)) for answer in example.answers or ("",)))
    return _counted(rows)


def _passage(context: str, places: NDArray[np.int64], output: Outputs, *, may_be_none: bool) -> str:
    inside = np.flatnonzero(places[:, 0] >= 0)
    if not len(inside):
        return ""
    scores = output["start_logits"][inside][:, None] + output["end_logits"][inside][None, :]
    scores = np.where(np.tri(len(inside), dtype=bool).T, scores, -np.inf)
    if may_be_none and output["start_logits"][0] + output["end_logits"][0] > scores.max():
        return ""
    begin, end = np.unravel_index(int(scores.argmax()), scores.shape)
    return context[places[inside[begin], 0] : places[inside[end], 1]]


def _words(answer: str) -> list[str]:
    """As SQuAD's evaluation compares them: lower case, without punctuation and articles."""
    text = "".join(character for character in answer.lower() if character not in string.punctuation)
    return [word for word in text.split() if word not in ("a", "an", "the")]


def _overlap(found: list[str], actual: list[str]) -> float:
    if not found or not actual:
        return float(found == actual)
    return 2 * (Counter(found) & Counter(actual)).total() / (len(found) + len(actual))


def _top1(judged: Judged, outputs: Sequence[Outputs]) -> Array:
    """Share of hidden tokens that are the likeliest at their position; outputs and targets hold hidden ones only."""
    assert judged.targets is not None
    rows = []
    for output, targets in zip(outputs, judged.targets, strict=True):
        hits = output["logits"].argmax(-1) == targets
        rows.append((float(hits.sum()), float(len(targets))))
    return np.array(rows, np.float64)


def _logit_error(judged: Judged, outputs: Sequence[Outputs]) -> Array:
    """Root mean square distance from fp32's outputs, as a share of their own root mean square."""
    rows = []
    for output, reference in zip(outputs, judged.reference, strict=True):
        name = "logits" if "logits" in reference else next(iter(reference))
        exact = reference[name].astype(np.float64)
        rows.append((np.square(output[name] - exact).sum(), np.square(exact).sum()))
    return np.array(rows, np.float64)


def _root_ratio(sums: Array) -> Array:
    return np.asarray(np.sqrt(sums[..., 0] / np.maximum(sums[..., 1], 1e-30)))


def _perplexity(_judged: Judged, outputs: Sequence[Outputs]) -> Array:
    """Negative log-likelihood of every example's tokens, and how many they are."""
    return np.array([(o["nll"].sum(), o["nll"].size) for o in outputs], np.float64)


def _perplexity_value(sums: Array) -> Array:
    return np.exp(sums[..., 0] / sums[..., 1])


def _token_agreement(judged: Judged, outputs: Sequence[Outputs]) -> Array:
    """Tokens that are the likeliest both here and in fp32, led along the same text; and how many there are."""
    pairs = zip(outputs, judged.reference, strict=True)
    return np.array([((o["choices"] == r["choices"]).sum(), r["choices"].size) for o, r in pairs], np.float64)


ACCURACY = Metric("accuracy", _accuracy, _mean)
AGREEMENT = Metric("agreement", _agreement, _mean)
LABEL_AGREEMENT = Metric("agreement", _label_agreement, _mean)
MACRO_F1 = Metric("f1", _macro_f1, _macro_f1_value)
SPAN_F1 = Metric("f1", _span_f1, _f1_value)
LABELLED_SPAN_F1 = Metric("f1", _labelled_span_f1, _f1_value)
TAG_ACCURACY = Metric("accuracy", _tag_accuracy, _mean)
SQUAD_F1 = Metric("f1", _squad_f1, _mean)
ANSWER_F1 = Metric("f1", _answer_f1, _mean)
COSINE = Metric("cosine", _cosine, _mean)
SPEARMAN = Metric("spearman", _spearman, _mean)
TOP1 = Metric("top1", _top1, _mean)
LOGIT_ERROR = Metric("logit_error", _logit_error, _root_ratio, higher_is_better=False)
PERPLEXITY = Metric("perplexity", _perplexity, _perplexity_value, higher_is_better=False)
TOKEN_AGREEMENT = Metric("agreement", _token_agreement, _mean)
