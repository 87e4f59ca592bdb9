"""question-answering: the passage of a context that answers a question, however long the context is.

transformers 5 has no such pipeline any more. What it did last (4.57) is done here: each part of the context gives
spans, scored by the product of their ends' probabilities; equal answers are added up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from layers.errors import InputError
from layers.runtime.alignment import AlignedEncoding, Ids
from layers.runtime.engine import Array, Outputs
from layers.runtime.run import Run
from layers.runtime.tasks.task import StrictParameters, Task, built_for
from layers.wording import kind

# The pipeline's defaults. Its max_question_len of 64 is none of them: it held for tokenizers written in Python only.
DEFAULT_SEQUENCE_TOKENS = 384
DEFAULT_STRIDE = 128
MAX_TOP_K = 100
MAX_ANSWER_TOKENS = 512
# Where the model may not look for an answer, before the softmax.
EXCLUDED = -10000.0


class AnswerParameters(StrictParameters):
    """Lengths in tokens. A part of the context with the question has `max_seq_len`; neighbours share `doc_stride`."""

    top_k: Annotated[int, Field(ge=1, le=MAX_TOP_K)] = 1
    doc_stride: Annotated[int, Field(ge=0)] | None = None
    max_answer_len: Annotated[int, Field(ge=1, le=MAX_ANSWER_TOKENS)] = 15
    max_seq_len: Annotated[int, Field(ge=1)] | None = None
    max_question_len: Annotated[int, Field(ge=1)] | None = None
    handle_impossible_answer: bool = False
    align_to_words: bool = True


def answer(run: Run, inputs: Any, parameters: Mapping[str, Any]) -> Any:
    """{"answer", "score", "start", "end"} for a question, a list of those for `top_k` above 1, best first.

    A list of questions is answered with a list.
    """
    options = AnswerParameters.read(parameters)
    questions = (
        [_read(item, f"inputs[{place}]") for place, item in enumerate(inputs)]
        if _many(inputs)
        else [_read(inputs, "inputs")]
    )
    run.admit(len(questions))
    parts = [_parts(run, question, context, options) for question, context in questions]
    names = ["start_logits", "end_logits"]
    outputs = iter(run.forward([window for windows in parts for window in windows], names))
    answers = [
        _best(run, context, [(window, next(outputs)) for window in windows], options)
        for (_, context), windows in zip(questions, parts, strict=True)
    ]
    shaped = [own if options.top_k > 1 else own[0] for own in answers]
    return shaped if _many(inputs) else shaped[0]


def _many(inputs: Any) -> bool:
    return isinstance(inputs, list)


def _read(item: Any, where: str) -> tuple[str, str]:
    if not isinstance(item, dict) or set(item) != {"question", "context"}:
        got = f"the keys {list(item)}" if isinstance(item, dict) else kind(item)
        raise InputError(f'{where}: got {got}, expected {{"question": string, "context": string}}.')
    for name, text in item.items():
        if not isinstance(text, str):
            raise InputError(f"{where}.{name}: got {kind(text)}, expected a string.")
        if not text:
            raise InputError(f"{where}.{name}: got an empty text, expected a {name}.")
    return item["question"], item["context"]


def _parts(run: Run, question: str, context: str, options: AnswerParameters) -> list[AlignedEncoding]:
    limit = run.max_tokens
    length = options.max_seq_len or min(limit, DEFAULT_SEQUENCE_TOKENS)
    if length > limit:
        raise InputError(f"parameter 'max_seq_len': got {length}, expected at most {limit}, which the model takes.")
    if options.doc_stride is not None and options.doc_stride >= length:
        raise InputError(f"parameter 'doc_stride': got {options.doc_stride}, expected fewer than {length} tokens.")
    return run.windows(
        question,
        context,
        stride=min(length // 2, DEFAULT_STRIDE) if options.doc_stride is None else options.doc_stride,
        shrink_stride=options.doc_stride is None,
        max_tokens=length,
        max_first_tokens=options.max_question_len,
    )


def _best(
    run: Run, context: str, windows: Sequence[tuple[AlignedEncoding, Outputs]], options: AnswerParameters
) -> list[dict[str, Any]]:
    """The `top_k` likeliest answers of all windows; the empty one where nothing is left to answer with."""
    found: dict[str, dict[str, Any]] = {}
    impossible = np.inf
    for window, outputs in windows:
        start, end, none = _probabilities(run, window, outputs)
        impossible = min(impossible, none)
        for begin, stop, score in _spans(window, start, end, options):
            text = context[begin:stop]
            known = found.setdefault(text.lower(), {"answer": text, "score": 0.0, "start": begin, "end": stop})
            known["score"] += score
    answers = list(found.values())
    if options.handle_impossible_answer or not answers:
        score = impossible if options.handle_impossible_answer else 0.0
        answers.append({"answer": "", "score": score, "start": 0, "end": 0})
    return sorted(answers, key=lambda one: -one["score"])[: options.top_k]


def _probabilities(run: Run, window: AlignedEncoding, outputs: Outputs) -> tuple[Array, Array, float]:
    """Of each token [sequence] to start and to end the answer, and of there being none: of the first token to be both.

    Only the context and CLS, which stands for no answer, take part.
    """
    allowed = (window.sequence_ids == 1) | (window.input_ids == run.manifest.tokenizer.cls_token_id)

    def softmax(logits: Array) -> Array:
        masked = np.where(allowed, logits, np.float32(EXCLUDED))
        exponentials = np.exp(masked - masked.max())
        return np.asarray(exponentials / exponentials.sum())

    start, end = softmax(outputs["start_logits"]), softmax(outputs["end_logits"])
    return start, end, float(start[0] * end[0])


def _spans(
    window: AlignedEncoding, start: Array, end: Array, options: AnswerParameters
) -> Iterator[tuple[int, int, float]]:
    """The likeliest spans of the context as characters [begin, stop) with their scores, best first."""
    places = np.flatnonzero(window.sequence_ids == 1)
    if not len(places):
        return
    longest = min(options.max_answer_len, len(places))
    # One row a first token, one column a length: a band of the table of all pairs.
    ends = np.concatenate([end[places], np.full(longest - 1, -1, end.dtype)])
    scores = start[places][:, None] * np.lib.stride_tricks.sliding_window_view(ends, longest)
    flat = np.where(np.arange(len(places))[:, None] + np.arange(longest) < len(places), scores, -1).ravel()
    possible = len(flat) - longest * (longest - 1) // 2
    count = min(2 * options.top_k + 10 if options.align_to_words else options.top_k, possible)
    likeliest = np.argpartition(-flat, count - 1)[:count]
    likeliest = likeliest[np.argsort(-flat[likeliest], kind="stable")]
    context = window.kept(places)
    starts, stops = _words(context) if options.align_to_words else (context.offsets[:, 0], context.offsets[:, 1])
    for index in likeliest.tolist():
        first, length = divmod(index, longest)
        last = first + length
        if options.align_to_words and min(context.word_ids[first], context.word_ids[last]) < 0:
            yield int(context.offsets[first, 0]), int(context.offsets[last, 1]), float(flat[index])
        else:
            yield int(starts[first]), int(stops[last]), float(flat[index])


def _words(context: AlignedEncoding) -> tuple[Ids, Ids]:
    """For each token, the first character of its word and the one after its last, as far as this window has them."""
    words, offsets = context.word_ids, context.offsets
    opens = np.flatnonzero(np.concatenate([[True], words[1:] != words[:-1]]))
    lengths = np.diff(np.append(opens, len(words)))
    return np.repeat(offsets[opens, 0], lengths), np.repeat(offsets[opens + lengths - 1, 1], lengths)


TASK = Task(answer, served_by=built_for("question-answering"))
