"""token-classification: what each token, or each run of tokens, is; as transformers' pipeline tells it.

The default strategy is "simple", which the hosted API uses and Hugging Face's JavaScript client needs; the pipeline's
own is "none".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from layers.errors import InputError
from layers.runtime.alignment import AlignedEncoding, Ids
from layers.runtime.engine import Array
from layers.runtime.run import Run
from layers.runtime.tasks.task import Parameters, Task, built_for, read_texts

Strategy = Literal["none", "simple", "first", "average", "max"]
DEFAULT_IGNORED = ("O",)


class TaggingParameters(Parameters):
    """`stride` is how many tokens the parts of a long text share; without it a long text is truncated."""

    aggregation_strategy: Strategy = "simple"
    ignore_labels: list[str] | None = None
    stride: Annotated[int, Field(ge=0)] | None = None


@dataclass(frozen=True, slots=True)
class Pieces:
    """Tokens, or words made of them: the likeliest label of each with its score, and where it stands.

    Arrays are [pieces]; `begins` and `ends` are places among the window's tokens, `starts` and `stops` characters of
    the text.
    """

    labels: Ids
    scores: Array
    begins: Ids
    ends: Ids
    starts: Ids
    stops: Ids


def answer(run: Run, inputs: Any, parameters: Mapping[str, Any]) -> list[Any]:
    """A list of entities for a text, a list of those for a list: {"entity_group", "score", "word", "start", "end"}.

    With the strategy "none" a token at a time: {"entity", "score", "index", "word", "start", "end"}.
    """
    options = TaggingParameters.read(parameters)
    texts, is_list = read_texts(inputs)
    run.admit(len(texts))
    parts = _parts(run, texts, options)
    rows = iter(run.forward([window for windows in parts for window in windows], ["logits"]))
    answers = [
        _entities(run, text, [(window, next(rows)["logits"]) for window in windows], options)
        for text, windows in zip(texts, parts, strict=True)
    ]
    return answers if is_list else answers[0]


def _parts(run: Run, texts: Sequence[str], options: TaggingParameters) -> list[list[AlignedEncoding]]:
    """The windows of every text; one each without a stride."""
    if options.stride is None:
        return [[encoding] for encoding in run.align(texts, **options.truncation_options())]
    if options.aggregation_strategy == "none":
        raise InputError(
            "parameters contradict each other: stride is given and aggregation_strategy is 'none', which cannot join "
            "the parts of a text. Choose another strategy."
        )
    if options.stride >= run.max_tokens:
        raise InputError(
            f"parameter 'stride': got {options.stride}, expected fewer than the {run.max_tokens} "
            "tokens that the model takes."
        )
    direction = options.truncation_direction
    return [run.windows(text, stride=options.stride, truncation_direction=direction) for text in texts]


def _entities(
    run: Run, text: str, windows: Sequence[tuple[AlignedEncoding, Array]], options: TaggingParameters
) -> list[dict[str, Any]]:
    ignored = DEFAULT_IGNORED if options.ignore_labels is None else options.ignore_labels
    found = [
        entity
        for window, logits in windows
        for entity in _entities_of(run, text, window, logits, options.aggregation_strategy, ignored)
    ]
    return _without_overlaps(found) if len(windows) > 1 else found


def _entities_of(
    run: Run, text: str, window: AlignedEncoding, logits: Array, strategy: Strategy, ignored: Sequence[str]
) -> list[dict[str, Any]]:
    places = np.flatnonzero(window.sequence_ids >= 0)
    if not len(places):
        return []
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    scores = (exponentials / exponentials.sum(axis=-1, keepdims=True))[places]
    tokens = window.kept(places)
    if strategy in ("none", "simple"):
        begins = np.arange(len(places))
        pieces = _pieces(tokens, begins, scores)
    else:
        begins = np.flatnonzero(~_continues(run, text, tokens))
        begins = begins if len(begins) and begins[0] == 0 else np.concatenate([[0], begins])
        pieces = _pieces(tokens, begins, _of_words(scores, begins, strategy))
    names = run.manifest.labels
    if strategy == "none":
        kept = [index for index in range(len(places)) if names[pieces.labels[index]] not in ignored]
        return [
            {
                "entity": names[pieces.labels[index]],
                "score": float(pieces.scores[index]),
                "index": int(places[index]),
                "word": _token(run, text, tokens, index),
                "start": int(pieces.starts[index]),
                "end": int(pieces.stops[index]),
            }
            for index in kept
        ]
    return _groups(run, text, tokens, pieces, words=strategy != "simple", ignored=ignored)


def _pieces(tokens: AlignedEncoding, begins: Ids, scores: Array) -> Pieces:
    """`begins` [pieces] are the first token of each, `scores` [pieces, labels]."""
    ends = np.append(begins[1:], len(tokens))
    labels = scores.argmax(axis=-1)
    best = np.take_along_axis(scores, labels[:, None], axis=-1)[:, 0]
    return Pieces(labels, best, begins, ends, tokens.offsets[begins, 0], tokens.offsets[ends - 1, 1])


def _of_words(scores: Array, begins: Ids, strategy: Strategy) -> Array:
    """Scores [words, labels] of words that begin at `begins`, from those of their tokens [tokens, labels]."""
    counts = np.diff(np.append(begins, len(scores)))
    if strategy == "average":
        average: Array = np.add.reduceat(scores, begins, axis=0) / counts[:, None]
        return average
    if strategy == "max":
        # The first token of each word that has the word's highest score.
        highest = scores.max(axis=-1)
        word = np.repeat(np.arange(len(begins)), counts)
        hits = np.flatnonzero(highest == np.maximum.reduceat(highest, begins)[word])
        begins = hits[np.unique(word[hits], return_index=True)[1]]
    return scores[begins]


def _continues(run: Run, text: str, tokens: AlignedEncoding) -> npt.NDArray[np.bool_]:
    """Which tokens go on with the word before them [tokens].

    Where the vocabulary marks such tokens, as the pipeline finds them: by a token that is not as long as its text.
    Elsewhere by the text having no space there.
    """
    starts, stops = tokens.offsets[:, 0], tokens.offsets[:, 1]
    if run.vocabulary.subword_prefix:
        lengths = np.array([len(run.vocabulary.token(identifier)) for identifier in tokens.input_ids.tolist()])
        going_on = lengths != stops - starts
    else:
        going_on = np.array([start > 0 and " " not in text[start - 1 : start + 1] for start in starts.tolist()])
    return np.asarray(going_on & (tokens.input_ids != _unknown(run)))


def _groups(
    run: Run, text: str, tokens: AlignedEncoding, pieces: Pieces, *, words: bool, ignored: Sequence[str]
) -> list[dict[str, Any]]:
    """Neighbours of one entity as one: {"entity_group", "score", "word", "start", "end"}, those ignored left out."""
    groups, entities, opening = _label_groups(run.manifest.labels)
    tags = entities[pieces.labels]
    first = np.flatnonzero(np.concatenate([[True], (tags[1:] != tags[:-1]) | opening[pieces.labels[1:]]]))
    last = np.append(first[1:], len(tags))
    scores = np.add.reduceat(pieces.scores, first) / (last - first)
    found = []
    for begin, end, score in zip(first.tolist(), last.tolist(), scores.tolist(), strict=True):
        group = groups[pieces.labels[begin]]
        if group in ignored:
            continue
        found.append(
            {
                "entity_group": group,
                "score": score,
                "word": _word(run, text, tokens, pieces, range(begin, end), words=words),
                "start": int(pieces.starts[begin]),
                "end": int(pieces.stops[end - 1]),
            }
        )
    return found


def _word(run: Run, text: str, tokens: AlignedEncoding, pieces: Pieces, members: range, *, words: bool) -> str:
    """Tokens joined to running text; where they make words, each word first."""
    parts = []
    for member in members:
        own = [_token(run, text, tokens, place) for place in range(pieces.begins[member], pieces.ends[member])]
        parts.append(run.vocabulary.join(own) if words else own[0])
    return run.vocabulary.join(parts)


def _token(run: Run, text: str, tokens: AlignedEncoding, place: int) -> str:
    """As the vocabulary has it; an unknown one as it stands in the text."""
    identifier = int(tokens.input_ids[place])
    if identifier == _unknown(run):
        start, stop = tokens.offsets[place].tolist()
        return text[start:stop]
    return run.vocabulary.token(identifier)


def _unknown(run: Run) -> int:
    identifier = run.manifest.tokenizer.unk_token_id
    return -1 if identifier is None else identifier


@cache
def _label_groups(labels: tuple[str, ...]) -> tuple[list[str], Ids, npt.NDArray[np.bool_]]:
    """For each label: its group's name, the number of its entity (B-X and I-X share one), and whether it opens one."""
    entities = [label[2:] if label.startswith(("B-", "I-")) else label for label in labels]
    numbers = {entity: number for number, entity in enumerate(dict.fromkeys(entities))}
    groups = [label.split("-", 1)[-1] for label in labels]
    return groups, np.array([numbers[e] for e in entities]), np.array([label.startswith("B-") for label in labels])


def _without_overlaps(entities: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of entities that two windows found at one place: the longer, then the likelier."""
    kept: list[dict[str, Any]] = []
    for entity in sorted(entities, key=lambda entity: entity["start"]):
        before = kept[-1] if kept else None
        if before is None or not before["start"] <= entity["start"] < before["end"]:
            kept.append(entity)
        elif (entity["end"] - entity["start"], entity["score"]) > (before["end"] - before["start"], before["score"]):
            kept[-1] = entity
    return kept


TASK = Task(answer, served_by=built_for("token-classification"))
