"""fill-mask: the likeliest tokens at the hidden places of a text, as transformers' pipeline finds them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from layers.errors import InputError
from layers.runtime.alignment import Encoding, Ids
from layers.runtime.engine import Array
from layers.runtime.run import Run
from layers.runtime.tasks.task import Parameters, Task, built_for, read_texts
from layers.runtime.vocabulary import without_extra_spaces
from layers.wording import shown

MAX_TOP_K = 1000


class FillMaskParameters(Parameters):
    """`targets` are the only tokens that count; of a word that is none, its first token."""

    top_k: Annotated[int, Field(ge=1, le=MAX_TOP_K)] = 5
    targets: str | Annotated[list[str], Field(min_length=1)] | None = None


def answer(run: Run, inputs: Any, parameters: Mapping[str, Any]) -> list[Any]:
    """A list of {"score", "token", "token_str", "sequence"} for a text, best first; a list of those for a list.

    A text that hides several tokens has such a list for each: what is likeliest while the others stay hidden.
    """
    options = FillMaskParameters.read(parameters)
    texts, is_list = read_texts(inputs)
    run.admit(len(texts))
    targets = _targets(run, options.targets)
    encodings = run.encode([(text, None) for text in texts], **options.truncation_options())
    hidden = [_hidden(run, encoding) for encoding in encodings]
    answers = []
    for encoding, places in zip(encodings, hidden, strict=True):
        # Text by text: logits of a whole vocabulary for every token are large (BERT, 512 tokens: 62 MB).
        [outputs] = run.forward([encoding], ["logits"])
        rows = _rows(run, encoding, places, outputs["logits"][places], targets, options.top_k)
        answers.append(rows[0] if len(places) == 1 else rows)
    return answers if is_list else answers[0]


def _targets(run: Run, wanted: str | list[str] | None) -> Ids | None:
    """Ids of the targets, each once. Raises InputError for one without a token."""
    if wanted is None:
        return None
    ids = []
    for target in [wanted] if isinstance(wanted, str) else wanted:
        try:
            identifier = run.vocabulary.identifier(target)
            if identifier is None:
                identifier = run.vocabulary.first_identifier(target)
        except (TypeError, UnicodeError) as error:
            raise InputError(f"parameter 'targets': got {shown(target)}, which is not valid Unicode.") from error
        if identifier is None:
            raise InputError(f"parameter 'targets': got {shown(target)}, which has no token; expected words.")
        ids.append(identifier)
    return np.array(sorted(set(ids)), dtype=np.int64)


def _hidden(run: Run, encoding: Encoding) -> Ids:
    """Places of the mask token. Raises InputError when there is none."""
    mask = run.manifest.tokenizer.mask_token_id
    places = np.flatnonzero(encoding.input_ids == mask)
    if not len(places):
        cut = f" in the first {len(encoding)} tokens, which are all that the model takes" * bool(
            encoding.truncated_tokens
        )
        name = "" if mask is None else run.vocabulary.token(mask)
        raise InputError(f"inputs: got no mask token{cut}, expected {name} where a token is to be found.")
    return places


def _rows(
    run: Run, encoding: Encoding, places: Ids, logits: Array, targets: Ids | None, top_k: int
) -> list[list[dict[str, Any]]]:
    """One ranking a hidden place, from its logits [places, vocabulary]."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    scores = exponentials / exponentials.sum(axis=-1, keepdims=True)
    if targets is not None:
        scores = scores[:, targets]
    top_k = min(top_k, scores.shape[1])
    likeliest = np.argpartition(-scores, top_k - 1, axis=-1)[:, :top_k]
    values = np.take_along_axis(scores, likeliest, axis=-1)
    order = np.argsort(-values, axis=-1, kind="stable")
    values = np.take_along_axis(values, order, axis=-1)
    tokens = np.take_along_axis(likeliest, order, axis=-1)
    tokens = tokens if targets is None else targets[tokens]
    return [
        [_filled(run, encoding, places, place, token, score) for token, score in zip(own, scored, strict=True)]
        for place, own, scored in zip(places.tolist(), tokens.tolist(), values.tolist(), strict=True)
    ]


def _filled(run: Run, encoding: Encoding, places: Ids, place: int, token: int, score: float) -> dict[str, Any]:
    """The text with the token in its place. Other masks stay to be seen, and with them every special token."""
    ids = encoding.input_ids.copy()
    ids[place] = token
    ids = ids[ids != run.manifest.pad_token_id]
    return {
        "score": score,
        "token": token,
        "token_str": _decoded(run, [token], skip_special_tokens=False),
        "sequence": _decoded(run, ids.tolist(), skip_special_tokens=len(places) == 1),
    }


def _decoded(run: Run, ids: list[int], *, skip_special_tokens: bool) -> str:
    text = run.vocabulary.decode(ids, skip_special_tokens=skip_special_tokens)
    cleans = run.manifest.tokenizer.cleans_up_spaces and not run.vocabulary.is_bpe
    return without_extra_spaces(text) if cleans else text


TASK = Task(answer, served_by=built_for("fill-mask"))
