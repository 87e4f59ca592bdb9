"""The accuracy gate: the variant against fp32 on the same examples, served by the runtime that will serve it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from layers.artifact import Verdict
from layers.catalogue import ModelSpec
from layers.compiler import metrics
from layers.compiler.draft import Draft
from layers.compiler.examples import Example
from layers.compiler.metrics import Judged, Metric
from layers.errors import CatalogueError, CheckpointError
from layers.runtime.alignment import AlignedEncoding, Encoding
from layers.runtime.engine import Engine, Outputs

RESAMPLES = 2000
# A vocabulary of logits per hidden token is large: 64 texts of 128 tokens hold 1,200 of them, 150 MB for BERT's.
MASKED_LM_EXAMPLES = 64
CHUNK = 32
# Every seventh token of a masked-LM example is hidden, about BERT's 15%.
MASK_EVERY = 7
# How far a text's answer may move in company, as a share of what quantization itself moved it. Measured on MiniLM:
# fixed and per-row ranges 0.001, MatMulNBits 0.3 (it rounds otherwise for few rows), one range for the batch 1.0.
COMPANY_TOLERANCE = 0.05
COMPANY_TEXTS = 16
FLOAT_NOISE = 1e-5
# Numbers of a card: products of other shapes add in another order, and what is rounded differs in its last bits.
ROUNDING_NOISE = {"fp16": 2e-3, "bf16": 2e-2}


@dataclass(frozen=True)
class Jury:
    """Everything that stays the same from variant to variant: metric, examples, their encodings, fp32's outputs."""

    metric: Metric
    max_drop: float
    judged: Judged
    encodings: tuple[Encoding, ...]
    output_names: tuple[str, ...]
    hidden: Sequence[NDArray[np.int64]] | None

    def hear(self, engine: Engine) -> list[Outputs]:
        """The engine's outputs on every example, in the batches it would serve them in."""
        return _outputs(engine, self.encodings, self.output_names, self.hidden)

    def examine(self, draft: Draft, name: str) -> tuple[Verdict, bool]:
        """The verdict on a written variant, and whether its rows are independent of their company."""
        engine = draft.open(name)
        independent = row_independent(engine, self)
        if not independent:
            draft.settle(draft.variants[name].model_copy(update={"row_independent": False}))
            engine = draft.open(name)
        return compare(self.metric, self.max_drop, self.judged, self.hear(engine)), independent


def compare(metric: Metric, max_drop: float, judged: Judged, outputs: Sequence[metrics.Outputs]) -> Verdict:
    """The paired comparison with fp32, with a 95% bootstrap interval of the drop."""
    reference = metric.statistics(judged, judged.reference)
    variant = metric.statistics(judged, outputs)
    count = len(reference)
    whole = np.ones((1, count))
    draws = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), size=RESAMPLES)
    [drop] = _drops(metric, whole, reference, variant)
    low, high = np.quantile(_drops(metric, draws.astype(np.float64), reference, variant), [0.025, 0.975])
    return Verdict(
        metric=metric.name,
        value=float(metric.aggregate(whole @ variant)[0]),
        reference=float(metric.aggregate(whole @ reference)[0]),
        drop=float(drop),
        max_drop=max_drop,
        n=count,
        interval=(float(low), float(high)),
        distinguishable=bool(low > 0 or high < 0),
        passed=bool(drop <= max_drop),
    )


def _drops(
    metric: Metric, draws: NDArray[np.float64], reference: NDArray[np.float64], variant: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Relative drop of every draw (a row of multiplicities); where fp32's value is 0, the plain difference."""
    exact, got = metric.aggregate(draws @ reference), metric.aggregate(draws @ variant)
    loss = exact - got if metric.higher_is_better else got - exact
    return np.asarray(np.divide(loss, exact, out=loss.copy(), where=exact > 0))


def metric_for(spec: ModelSpec, examples: Sequence[Example], problem_type: str | None, labels: int) -> Metric:
    """The metric asked for, or the task's default; `labels` are the model's. Raises CatalogueError where they clash."""
    known = {"token-classification": "tags", "question-answering": "answers"}.get(spec.task, "label")
    labelled = all(getattr(example, known) is not None for example in examples)
    available = {**_metrics_of(spec.task, labelled, problem_type, labels), "logit_error": metrics.LOGIT_ERROR}
    if spec.gate.metric is None:
        return next(iter(available.values()))
    if spec.gate.metric not in available:
        raise CatalogueError(
            f"[{spec.name}.gate] metric {spec.gate.metric!r} cannot be computed for {spec.task} on "
            f"{'labelled' if labelled else 'unlabelled'} data; expected one of {', '.join(available)}."
        )
    return available[spec.gate.metric]


def _metrics_of(task: str, labelled: bool, problem_type: str | None, labels: int) -> dict[str, Metric]:
    """Those that a task's data allows beside `logit_error`, the default one first."""
    if task in ("text-classification", "zero-shot-classification", "rerank"):
        if problem_type == "multi_label_classification":
            return {"agreement": metrics.LABEL_AGREEMENT}
        # The likeliest of one label is always that one.
        if problem_type == "regression" or labels == 1:
            return {}
        by_labels = {"accuracy": metrics.ACCURACY, "f1": metrics.MACRO_F1} if labelled else {}
        return {**by_labels, "agreement": metrics.AGREEMENT}
    if task == "token-classification":
        if labelled:
            by_tags = {"f1": metrics.LABELLED_SPAN_F1, "accuracy": metrics.TAG_ACCURACY}
            return {**by_tags, "agreement": metrics.AGREEMENT}
        return {"agreement": metrics.AGREEMENT, "f1": metrics.SPAN_F1}
    if task == "question-answering":
        return {"f1": metrics.SQUAD_F1 if labelled else metrics.ANSWER_F1}
    if task == "fill-mask":
        return {"agreement": metrics.AGREEMENT, "top1": metrics.TOP1}
    if task in ("feature-extraction", "sentence-similarity"):
        return {"cosine": metrics.COSINE, "spearman": metrics.SPEARMAN}
    return {}


def summon(
    spec: ModelSpec, metric: Metric, engine: Engine, examples: Sequence[Example], mask_token_id: int | None
) -> Jury:
    """Encode the examples, hide tokens where the task is to find them, and run fp32 once."""
    _check_labels(spec, metric, examples, engine.manifest.labels)
    aligned = [engine.tokenizer.align(example.text, example.text_pair) for example in examples]
    encodings: tuple[Encoding, ...] = tuple(aligned)
    targets = None
    if spec.task == "fill-mask":
        if mask_token_id is None:
            raise CheckpointError(
                f"{spec.name}: the tokenizer has no mask token, expected one for fill-mask. "
                "Name it in tokenizer_config.json."
            )
        hidden = [_hide(encoding, mask_token_id) for encoding in encodings[:MASKED_LM_EXAMPLES]]
        # A share of no tokens would be no number.
        said = [index for index, (_, wanted) in enumerate(hidden) if (wanted >= 0).any()]
        if not said:
            raise CatalogueError(
                f"[{spec.name}.gate] data: no text of the first {len(hidden)} has a token to hide; expected words."
            )
        encodings, targets = tuple(hidden[index][0] for index in said), [hidden[index][1] for index in said]
        examples = [examples[index] for index in said]
    names = _judged_outputs(engine.output_names)
    reference = _outputs(engine, encodings, names, targets)
    return Jury(
        metric=metric,
        max_drop=spec.gate.max_drop,
        judged=Judged(
            examples,
            None if targets is None else [t[t >= 0] for t in targets],
            reference,
            engine.manifest.labels,
            _places(examples, aligned),
        ),
        encodings=encodings,
        output_names=names,
        hidden=targets,
    )


def row_independent(engine: Engine, jury: Jury) -> bool:
    """True when a text's answer is the same alone and in company.

    Texts of spread-out lengths run one by one and in one batch; the difference is compared with what
    quantization itself changed. `engine` must treat the variant as row-independent, or nothing is batched.
    """
    order = np.argsort([len(encoding) for encoding in jury.encodings])
    picked = sorted(set(order[np.linspace(0, len(order) - 1, COMPANY_TEXTS).astype(int)].tolist()))
    encodings = [jury.encodings[index] for index in picked]
    together = engine.forward(encodings, jury.output_names)
    alone = [engine.forward([encoding], jury.output_names)[0] for encoding in encodings]
    moved = noise = scale = 0.0
    for index, single, batched in zip(picked, alone, together, strict=True):
        for name in jury.output_names:
            exact = jury.judged.reference[index][name]
            if jury.hidden is not None:
                single, batched = ({n: o[n][jury.hidden[index] >= 0] for n in o} for o in (single, batched))
            moved += float(np.square(batched[name] - single[name]).sum())
            noise += float(np.square(single[name] - exact).sum())
            scale += float(np.square(exact).sum())
    return moved <= company_bound(noise, scale, engine.variant.precision)


def company_bound(noise: float, scale: float, precision: str) -> float:
    """How far answers may move in company, all as sums of squares: what quantization moved them, and their scale."""
    return max(COMPANY_TOLERANCE**2 * noise, ROUNDING_NOISE.get(precision, FLOAT_NOISE) ** 2 * scale)


def _outputs(
    engine: Engine,
    encodings: Sequence[Encoding],
    names: Sequence[str],
    targets: Sequence[NDArray[np.int64]] | None,
) -> list[Outputs]:
    if targets is None:
        return engine.forward(encodings, names)
    kept: list[Outputs] = []
    for begin in range(0, len(encodings), CHUNK):
        part = engine.forward(encodings[begin : begin + CHUNK], names)
        kept += [{"logits": o["logits"][t >= 0]} for o, t in zip(part, targets[begin:], strict=False)]
    return kept


def _judged_outputs(names: Sequence[str]) -> tuple[str, ...]:
    """The outputs metrics read; a token vector is judged through the embedding made of it."""
    return tuple(name for name in names if name != "last_hidden_state") or tuple(names)


def _hide(encoding: Encoding, mask_token_id: int) -> tuple[Encoding, NDArray[np.int64]]:
    """The encoding with every MASK_EVERY-th token masked, and the targets (-1 where nothing is hidden).

    Of a text too short for that, the one in its middle.
    """
    places = np.arange(1, len(encoding) - 1)
    places = places[encoding.input_ids[places] != mask_token_id]
    every = places[places % MASK_EVERY == MASK_EVERY // 2]
    hidden = np.zeros(len(encoding), bool)
    hidden[every if len(every) else places[len(places) // 2 :][:1]] = True
    masked = np.where(hidden, mask_token_id, encoding.input_ids)
    targets = np.where(hidden, encoding.input_ids, -1)
    return Encoding(masked, encoding.token_type_ids, encoding.truncated_tokens), targets


def _places(examples: Sequence[Example], aligned: Sequence[AlignedEncoding]) -> list[NDArray[np.int64]] | None:
    """`Judged.places`, where the data has tags or answers."""
    if all(example.tags is not None for example in examples):
        return [_first_tokens(example, encoding) for example, encoding in zip(examples, aligned, strict=True)]
    if all(example.answers is not None for example in examples):
        return [np.where(encoding.sequence_ids[:, None] == 1, encoding.offsets, -1) for encoding in aligned]
    return None


def _first_tokens(example: Example, encoding: AlignedEncoding) -> NDArray[np.int64]:
    """[words], the first token that has a character of the word, -1 where none is left."""
    tokens = np.flatnonzero(encoding.sequence_ids == 0)
    lengths = np.array([len(word) for word in example.text.split(" ")])
    stops = np.cumsum(lengths + 1) - 1
    starts = stops - lengths
    place = np.searchsorted(encoding.offsets[tokens, 1], starts, side="right")
    # One more, which begins nowhere, for words behind the last token.
    begins = np.append(encoding.offsets[tokens, 0], np.iinfo(np.int64).max)
    return np.where(begins[place] < stops, np.append(tokens, -1)[place], -1)


def _check_labels(spec: ModelSpec, metric: Metric, examples: Sequence[Example], labels: tuple[str, ...]) -> None:
    if metric in (metrics.ACCURACY, metrics.MACRO_F1):
        found = {str(example.label) for example in examples}
    elif metric in (metrics.LABELLED_SPAN_F1, metrics.TAG_ACCURACY):
        found = {tag for example in examples for tag in example.tags or ()}
    else:
        return
    strangers = sorted(found - set(labels))
    if strangers:
        raise CatalogueError(
            f"[{spec.name}.gate] data: label {strangers[0]!r} is none of the model's {len(labels)}: "
            f"{', '.join(labels[:6])} ... Labels must be written as in the checkpoint's id2label."
        )
