"""Metrics against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from layers.catalogue import GateSpec, ModelSpec
from layers.compiler import metrics
from layers.compiler.examples import Example
from layers.compiler.gate import metric_for
from layers.compiler.metrics import Judged, Metric, spans


def value(metric: Metric, judged: Judged, outputs: list[dict[str, np.ndarray]]) -> float:
    return float(metric.aggregate(metric.statistics(judged, outputs).sum(axis=0)))


def one_hot(index: int, width: int = 3) -> dict[str, np.ndarray]:
    return {"logits": np.eye(width, dtype=np.float32)[index]}


def judged(labels: list[str], reference: list[dict[str, np.ndarray]]) -> Judged:
    return Judged([Example("x", label=label) for label in labels], None, reference, ("a", "b", "c"))


def test_accuracy_and_agreement() -> None:
    reference = [one_hot(0), one_hot(1), one_hot(1), one_hot(2)]
    outputs = [one_hot(0), one_hot(1), one_hot(2), one_hot(2)]
    jury = judged(["a", "b", "c", "a"], reference)
    assert value(metrics.ACCURACY, jury, outputs) == 0.75
    assert value(metrics.AGREEMENT, jury, outputs) == 0.75


def test_a_task_without_a_metric_of_its_own_is_judged_by_its_outputs() -> None:
    spec = ModelSpec.model_construct(name="new", source="new", task="of-tomorrow", gate=GateSpec())
    metric = metric_for(spec, [Example("x")], problem_type=None, labels=0)
    outputs = [one_hot(0), one_hot(1)]
    assert value(metric, judged(["a", "b"], outputs), outputs) == 0


def test_macro_f1_counts_classes_alike() -> None:
    outputs = [one_hot(0), one_hot(0), one_hot(1)]
    jury = judged(["a", "b", "b"], outputs)
    # class a: precision 1/2, recall 1; class b: precision 1, recall 1/2; class c does not occur.
    assert value(metrics.MACRO_F1, jury, outputs) == pytest.approx(2 / 3)


def test_cosine_and_spearman_of_the_same_vectors_are_one() -> None:
    vectors = [{"sentence_embedding": v} for v in np.random.default_rng(0).normal(size=(6, 5))]
    jury = judged(["a"] * 6, vectors)
    assert value(metrics.COSINE, jury, vectors) == pytest.approx(1)
    assert value(metrics.SPEARMAN, jury, vectors) == pytest.approx(1)
    turned = [{"sentence_embedding": -o["sentence_embedding"]} for o in vectors]
    assert value(metrics.COSINE, jury, turned) == pytest.approx(-1)
    assert value(metrics.SPEARMAN, jury, turned) == pytest.approx(1)


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (["O", "B-PER", "I-PER", "O"], {(1, 3, "PER")}),
        (["B-PER", "B-PER"], {(0, 1, "PER"), (1, 2, "PER")}),
        (["I-LOC", "I-PER"], {(0, 1, "LOC"), (1, 2, "PER")}),
        (["PER", "PER", "O", "LOC"], {(0, 2, "PER"), (3, 4, "LOC")}),
        (["O"], set()),
    ],
)
def test_spans(tags: list[str], expected: set[tuple[int, int, str]]) -> None:
    assert spans(tags) == expected


def test_answer_f1_is_the_overlap_of_tokens() -> None:
    def answer(begin: int, end: int) -> dict[str, np.ndarray]:
        return {"start_logits": np.eye(6)[begin], "end_logits": np.eye(6)[end]}

    jury = judged(["a", "a"], [answer(1, 2), answer(0, 0)])
    # tokens 1-2 against 2-3 share one of two each; 5 against 0 shares none.
    assert value(metrics.ANSWER_F1, jury, [answer(2, 3), answer(5, 5)]) == pytest.approx(0.25)


def test_top1_looks_at_hidden_tokens() -> None:
    logits = np.eye(4)[[1, 2, 3]]
    jury = Judged([Example("x")], [np.array([1, 2, 0])], [{"logits": logits}], ())
    assert value(metrics.TOP1, jury, [{"logits": logits}]) == pytest.approx(2 / 3)


def test_logit_error_is_a_share_of_the_signal() -> None:
    jury = judged(["a"], [{"logits": np.array([3.0, 4.0])}])
    assert value(metrics.LOGIT_ERROR, jury, [{"logits": np.array([3.0, 4.5])}]) == pytest.approx(0.1)


def test_spans_of_the_data_are_found_by_the_first_token_of_each_word() -> None:
    labels = ("O", "B-PER", "I-PER", "B-LOC")
    # Four words of one, two, one and one tokens; the last was cut off. The second word's other token does not matter.
    places = np.array([1, 2, 4, -1])
    example = Example("Ian Murdock in Indiana", tags=("B-PER", "I-PER", "O", "B-LOC"))
    right = {"logits": np.eye(4)[[0, 1, 2, 3, 0, 0]]}
    wrong = {"logits": np.eye(4)[[0, 1, 0, 3, 3, 0]]}
    jury = Judged([example], None, [wrong], labels, [places])
    assert value(metrics.LABELLED_SPAN_F1, jury, [right]) == 1
    assert value(metrics.TAG_ACCURACY, jury, [right]) == 1
    # Found: PER of one word and LOC of one; in the data: PER of two words.
    assert value(metrics.LABELLED_SPAN_F1, jury, [wrong]) == 0
    assert value(metrics.TAG_ACCURACY, jury, [wrong]) == pytest.approx(1 / 3)


def test_squad_f1_compares_words_with_the_nearest_answer() -> None:
    context = "The old chess engine, by Ian."
    places = np.array([[-1, -1], [0, 3], [4, 7], [8, 13], [14, 20], [20, 21], [22, 24], [25, 28], [28, 29]])

    def passage(begin: int, end: int) -> dict[str, np.ndarray]:
        return {"start_logits": np.eye(9)[begin], "end_logits": np.eye(9)[end]}

    examples = [
        Example("who?", context, answers=("Ian", "ian murdock")),
        Example("what?", context, answers=("an old Chess engine!",)),
        Example("what?", context, answers=("chess",)),
    ]
    jury = Judged(examples, None, [passage(7, 7)] * 3, (), [places] * 3)
    assert value(metrics.SQUAD_F1, jury, [passage(7, 7), passage(1, 4), passage(3, 4)]) == pytest.approx(
        (1 + 1 + 2 / 3) / 3
    )
    # Once the data says that some question has no answer, CLS may answer so.
    nothing = Judged([Example("why?", context, answers=())] * 2, None, [passage(0, 0)] * 2, (), [places] * 2)
    assert value(metrics.SQUAD_F1, nothing, [passage(0, 0), passage(7, 7)]) == 0.5
