"""The next token of a row: the likeliest, or one drawn; with its log probability."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from layers.errors import ModelOutputError
from layers.runtime.generation.filters import cuts_for
from layers.runtime.generation.options import DecodingOptions
from layers.runtime.generation.penalties import (
    NEVER,
    History,
    MinLength,
    Scores,
    forbidding,
    nothing_left,
    processors_for,
)

BLOCK = 256

TopTokens = tuple[tuple[int, float], ...]


class Choice(NamedTuple):
    """A token; `logprob` and `top` (token, logprob; likeliest first) where they were asked for."""

    token: int
    logprob: float | None
    top: TopTokens


def draw(weights: npt.NDArray[np.float32], share: float) -> tuple[int, float]:
    """The place at which that share (0 to 1, exclusive) of all weight is reached, and the weight of all.

    Sums of blocks lead to the block, whose weights alone are added up one by one: of 50,257 weights in 30 microseconds,
    where a running sum of all takes 200.
    """
    whole = len(weights) // BLOCK * BLOCK
    blocks = weights[:whole].reshape(-1, BLOCK).sum(axis=1, dtype=np.float64)
    ends = np.cumsum(np.append(blocks, weights[whole:].sum(dtype=np.float64)))
    wanted = share * ends[-1]
    block = min(int(np.searchsorted(ends, wanted, side="right")), len(ends) - 1)
    start = float(ends[block - 1]) if block else 0.0
    within = start + np.cumsum(weights[block * BLOCK : (block + 1) * BLOCK], dtype=np.float64)
    place = block * BLOCK + int(np.searchsorted(within, wanted, side="right"))
    if place >= len(weights) or not weights[place]:
        # Rounding has gone past the last weight of its block; the last that is possible stands for it.
        place = int(np.flatnonzero(weights[: place + 1])[-1])
    return place, float(ends[-1])


class TokenChooser:
    """Chooses the tokens of one row. Holds the row's own random generator, so company does not change a draw.

    A log probability is, as text-generation-inference reports it, of the distribution that the token was chosen from:
    after the penalties, and when sampling after the temperature and the cuts.
    """

    def __init__(self, options: DecodingOptions, prompt_length: int) -> None:
        self._options = options
        self._processors = processors_for(options, prompt_length)
        self._sample = options.do_sample
        self._temperature = np.float32(options.temperature)
        self._cuts = cuts_for(options)
        self._random = np.random.Generator(np.random.PCG64(options.seed)) if options.do_sample else None
        self._logprobs = options.logprobs or options.top_tokens > 0
        self._top_tokens = options.top_tokens
        self._lengths = [process for process in self._processors if isinstance(process, MinLength)]
        # The choice is then the highest score unless `takes` refuses it: what else is asked is a least length.
        only_lengths = len(self._lengths) == len(self._processors)
        self.may_take_likeliest = only_lengths and self._random is None and not self._logprobs

    @property
    def takes_likeliest(self) -> bool:
        """Whether the choice is the highest score and nothing else is asked of the scores."""
        return not self._processors and self.may_take_likeliest

    def takes(self, history: History, token: int) -> bool:
        """Whether `token`, known to have the highest score, is the choice after `history`."""
        return self.may_take_likeliest and not any(length.forbids(history, token) for length in self._lengths)

    def choose(self, history: History, scores: Scores) -> Choice:
        """The next token after `history`; `scores` [vocabulary] may be changed.

        Raises ModelOutputError when the scores are no distribution (NaN, infinity), and InputError (422) when the
        options forbid every token.
        """
        for process in self._processors:
            scores = process(history, scores)
        if self._random is not None:
            return self._draw(scores, self._random)
        token = int(scores.argmax())
        best = float(scores[token])
        self._check(best)
        if not self._logprobs:
            return Choice(token, None, ())
        total = math.log(float(np.exp(scores - scores[token]).sum()))
        return Choice(token, -total, self._likeliest(scores, None, best + total))

    def _draw(self, scores: Scores, random: np.random.Generator) -> Choice:
        tokens: npt.NDArray[np.int64] | None = None
        if self._temperature != 1:
            scores = scores / self._temperature
        # Before the cuts, which keep the highest score and need one that is a number.
        best = float(scores.max())
        self._check(best)
        for cut in self._cuts:
            left = np.flatnonzero(cut(scores))
            tokens = left if tokens is None else tokens[left]
            scores = scores[left]
        place, weight = draw(np.exp(scores - np.float32(best)), random.random())
        token = place if tokens is None else int(tokens[place])
        if not self._logprobs:
            return Choice(token, None, ())
        total = best + math.log(weight)
        return Choice(token, float(scores[place]) - total, self._likeliest(scores, tokens, total))

    def _check(self, best: float) -> None:
        if best == NEVER and forbidding(self._options):
            raise nothing_left(self._options)
        if not math.isfinite(best):
            raise ModelOutputError(f"the decoder's logits hold {best}: no token can be chosen")

    def _likeliest(self, scores: Scores, tokens: npt.NDArray[np.int64] | None, total: float) -> TopTokens:
        if not self._top_tokens:
            return ()
        count = min(self._top_tokens, len(scores))
        places = np.argpartition(scores, len(scores) - count)[len(scores) - count :]
        places = places[np.argsort(-scores[places], kind="stable")]
        places = places[scores[places] > NEVER]
        names = places if tokens is None else tokens[places]
        return tuple((int(name), float(scores[place]) - total) for name, place in zip(names, places, strict=True))
