"""Beam search, equal to transformers 5 (`GenerationMixin._beam_search`), for one prompt.

What transformers keeps in tensors of a fixed length is kept here as sequences of the length they have.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from layers.errors import ModelOutputError
from layers.runtime.generation.decoder import Decoder, Ids, Logits
from layers.runtime.generation.filters import top_k
from layers.runtime.generation.options import DecodingOptions
from layers.runtime.generation.penalties import NEVER, nothing_left, processors_for

# Stands for "not yet": transformers' own figure, which scores are added to and which is compared with.
FAR = np.float32(-1e9)


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A text's tokens after the prompt, and its score: sum of log probabilities / length ** length_penalty."""

    tokens: tuple[int, ...]
    score: float
    ended: bool


@dataclass(slots=True)
class _Beams:
    """The running beams: `tokens` int64 [beams, length] with the prompt, `scores` float32 [beams]."""

    tokens: Ids
    scores: npt.NDArray[np.float32]


def beam_search(decoder: Decoder, prompt: Ids, options: DecodingOptions) -> list[Hypothesis]:
    """The best `num_return_sequences` continuations, best first.

    Raises InputError (422) when the options forbid every token of every beam.
    """
    count = options.num_beams
    processors = processors_for(options, len(prompt))
    ends = np.array(options.eos_token_ids, dtype=np.int64)
    candidates = max(2, 1 + len(ends)) * count
    running = _Beams(np.repeat(prompt[None], count, axis=0), np.full(count, FAR))
    running.scores[0] = 0
    finished = [Hypothesis((), float(FAR), False)] * count
    improvable = True
    limit = len(prompt) + options.max_new_tokens
    logits = decoder.prefill([prompt]).repeat(count, axis=0)
    decoder.reorder([0] * count)
    while True:
        scores = log_softmax(logits)
        for process in processors:
            for beam in range(count):
                scores[beam] = process(running.tokens[beam], scores[beam])
        total = (scores + running.scores[:, None]).reshape(-1)
        chosen = _highest(total, candidates)
        if total[chosen[0]] == NEVER:
            raise nothing_left(options)
        parents, tokens = chosen // scores.shape[1], chosen % scores.shape[1]
        length = running.tokens.shape[1] + 1
        sequences = np.concatenate([running.tokens[parents], tokens[:, None]], axis=1)
        hits = np.isin(tokens, ends) | (length >= limit)
        values = total[chosen]
        finished = _merge(finished, sequences[:count, len(prompt) :], values[:count], hits[:count], improvable, options)
        open_values = values + hits * FAR
        kept = _highest(open_values, count)
        running = _Beams(sequences[kept], open_values[kept])
        improvable = improvable and _can_improve(running, finished, length - len(prompt) + options.begun, options)
        all_ended = all(hypothesis.ended for hypothesis in finished)
        if not improvable or (all_ended and options.early_stopping is True) or hits.all():
            return finished[: options.num_return_sequences]
        decoder.reorder(parents[kept].tolist())
        logits = decoder.step(tokens[kept].tolist())


def log_softmax(logits: Logits) -> Logits:
    """Log probabilities [rows, vocabulary]. Raises ModelOutputError when the logits are not numbers."""
    highest = logits.max(axis=1, keepdims=True)
    if not np.isfinite(highest).all():
        raise ModelOutputError("the decoder's logits are not finite: no beam can be chosen")
    shifted: Logits = logits - highest
    shifted -= np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return shifted


def _merge(
    finished: list[Hypothesis],
    sequences: Ids,
    values: npt.NDArray[np.float32],
    hits: npt.NDArray[np.bool_],
    improvable: bool,
    options: DecodingOptions,
) -> list[Hypothesis]:
    """The best of what had ended and of what ends now; only the best `num_beams` candidates may end."""
    closed = options.early_stopping is True and all(hypothesis.ended for hypothesis in finished)
    if closed or not improvable or not hits.any():
        return finished
    scores = values / np.float32((sequences.shape[1] + options.begun) ** options.length_penalty)
    ending = [
        Hypothesis(tuple(sequence.tolist()), float(score), True)
        for sequence, score, hit in zip(sequences, scores, hits, strict=True)
        if hit
    ]
    # A length penalty of -4 takes a long text below what stands for none.
    return sorted([*finished, *ending], key=lambda hypothesis: (not hypothesis.ended, -hypothesis.score))[
        : len(finished)
    ]


def _can_improve(running: _Beams, finished: list[Hypothesis], length: int, options: DecodingOptions) -> bool:
    """Whether the best running beam may still come before the worst that ended (transformers' heuristic)."""
    if not all(hypothesis.ended for hypothesis in finished):
        return True
    if options.early_stopping == "never" and options.length_penalty > 0:
        length = options.max_new_tokens + options.begun
    best: float = float(running.scores[0]) / length**options.length_penalty
    return best > min(hypothesis.score for hypothesis in finished)


def _highest(values: npt.NDArray[np.float32], count: int) -> npt.NDArray[np.int64]:
    """Places of the highest values, highest first; of equal ones the first place first."""
    places = np.flatnonzero(top_k(values, count))
    return places[np.argsort(-values[places], kind="stable")[:count]]
