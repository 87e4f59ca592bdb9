"""What changes a token's score for what was written before, and what forbids or forces tokens.

Each is called with the row's tokens so far, prompt included (`history`, int64 [length]), and the scores of its next
token (`scores`, float32 [vocabulary]), which it may change in place and returns. All but `OccurrencePenalty` answer as
the class of transformers that their docstrings name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from layers.errors import InputError
from layers.runtime.generation.options import DecodingOptions

History = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float32]
Processor = Callable[[History, Scores], Scores]

NEVER = np.float32(-np.inf)


class RepetitionPenalty:
    """`RepetitionPenaltyLogitsProcessor` (CTRL, arXiv:1909.05858): every token of the history, once."""

    def __init__(self, penalty: float) -> None:
        self._penalty = np.float32(penalty)

    def __call__(self, history: History, scores: Scores) -> Scores:
        seen = history[history < len(scores)]
        values = scores[seen]
        scores[seen] = np.where(values < 0, values * self._penalty, values / self._penalty)
        return scores


class OccurrencePenalty:
    """OpenAI's penalties: score - count * frequency - (count > 0) * presence, counted after the prompt.

    text-generation-inference documents its frequency_penalty as OpenAI's, but counts the prompt and divides by the
    length; here it is OpenAI's.
    """

    def __init__(self, frequency: float, presence: float, prompt_length: int) -> None:
        self._frequency, self._presence = frequency, presence
        self._prompt_length = prompt_length

    def __call__(self, history: History, scores: Scores) -> Scores:
        tokens, counts = np.unique(history[self._prompt_length :], return_counts=True)
        scores[tokens] -= (counts * self._frequency + self._presence).astype(np.float32)
        return scores


class NoRepeatNgram:
    """`NoRepeatNGramLogitsProcessor`: no `size` tokens in a row that already stood in the history."""

    def __init__(self, size: int) -> None:
        self._size = size

    def __call__(self, history: History, scores: Scores) -> Scores:
        starts = len(history) - self._size + 1
        if starts <= 0:
            return scores
        repeats = np.ones(starts, dtype=np.bool_)
        for offset in range(self._size - 1):
            repeats &= history[offset : offset + starts] == history[starts + offset]
        banned = history[self._size - 1 :][repeats]
        scores[banned[banned < len(scores)]] = NEVER
        return scores


class BadWords:
    """`NoBadWordsLogitsProcessor`: the last token of a sequence is forbidden where the rest of it stands."""

    def __init__(self, sequences: Sequence[Sequence[int]], eos_token_ids: Sequence[int]) -> None:
        kept = [sequence for sequence in sequences if not (len(sequence) == 1 and sequence[0] in eos_token_ids)]
        self._always = np.array([sequence[0] for sequence in kept if len(sequence) == 1], dtype=np.int64)
        self._after = [
            (np.array(sequence[:-1], dtype=np.int64), sequence[-1]) for sequence in kept if len(sequence) > 1
        ]

    def __call__(self, history: History, scores: Scores) -> Scores:
        scores[self._always] = NEVER
        for before, last in self._after:
            if len(before) <= len(history) and (history[-len(before) :] == before).all():
                scores[last] = NEVER
        return scores


class MinLength:
    """No end yet: `MinLengthLogitsProcessor`; with the prompt's length added `MinNewTokensLengthLogitsProcessor`."""

    def __init__(self, length: int, eos_token_ids: Sequence[int]) -> None:
        self._length = length
        self._ends = np.array(eos_token_ids, dtype=np.int64)

    def __call__(self, history: History, scores: Scores) -> Scores:
        if len(history) < self._length:
            scores[self._ends] = NEVER
        return scores

    def forbids(self, history: History, token: int) -> bool:
        """Whether `token` cannot come next."""
        return len(history) < self._length and token in self._ends


class Forced:
    """`ForcedBOSTokenLogitsProcessor` (at length 1), `ForcedEOSTokenLogitsProcessor` (at max_length - 1)."""

    def __init__(self, token: int, at_length: int) -> None:
        self._token, self._at_length = token, at_length

    def __call__(self, history: History, scores: Scores) -> Scores:
        if len(history) == self._at_length:
            scores[:] = NEVER
            scores[self._token] = 0
        return scores


class Suppress:
    """`SuppressTokensLogitsProcessor`: never these."""

    def __init__(self, tokens: Sequence[int]) -> None:
        self._tokens = np.array(tokens, dtype=np.int64)

    def __call__(self, history: History, scores: Scores) -> Scores:  # noqa: ARG002
        scores[self._tokens] = NEVER
        return scores


class Normalized:
    """`LogitNormalization`: log probabilities of what is left. Without it, beams pay for what was forbidden.

    Where nothing is left, nothing is: transformers makes NaN of it.
    """

    def __call__(self, history: History, scores: Scores) -> Scores:  # noqa: ARG002
        highest = scores.max()
        if highest == NEVER:
            return scores
        scores -= highest
        scores -= np.log(np.exp(scores).sum())
        return scores


def processors_for(options: DecodingOptions, prompt_length: int) -> list[Processor]:
    """Those that `options` ask for, in the order of transformers' `_get_logits_processor`.

    `OccurrencePenalty`, which transformers has not, stands behind the repetition penalty, as in
    text-generation-inference.
    """
    ends = options.eos_token_ids
    wanted: list[tuple[Any, Callable[[], Processor]]] = [
        (options.repetition_penalty != 1.0, lambda: RepetitionPenalty(options.repetition_penalty)),
        (
            options.frequency_penalty or options.presence_penalty,
            lambda: OccurrencePenalty(options.frequency_penalty, options.presence_penalty, prompt_length),
        ),
        (options.no_repeat_ngram_size, lambda: NoRepeatNgram(options.no_repeat_ngram_size)),
        (options.bad_words_ids, lambda: BadWords(options.bad_words_ids, ends)),
        (options.min_length and ends, lambda: MinLength(options.min_length, ends)),
        (options.min_new_tokens and ends, lambda: MinLength(prompt_length + options.min_new_tokens, ends)),
        (options.forced_bos_token_id is not None, lambda: Forced(options.forced_bos_token_id or 0, 1)),
        (
            options.forced_eos_token_id is not None,
            lambda: Forced(options.forced_eos_token_id or 0, prompt_length + options.max_new_tokens - 1),
        ),
        (options.suppress_tokens, lambda: Suppress(options.suppress_tokens)),
        # Nobody but beams adds scores up: the likeliest token, and the odds of all, stay what they were.
        (options.renormalize_logits and options.num_beams > 1, Normalized),
    ]
    return [make() for asked, make in wanted if asked]


def forbidding(options: DecodingOptions) -> list[str]:
    """The settings that forbid tokens, as requests and checkpoints name them."""
    names = ("no_repeat_ngram_size", "bad_words_ids", "min_length", "min_new_tokens", "suppress_tokens")
    return [name for name in names if getattr(options, name)]


def nothing_left(options: DecodingOptions) -> InputError:
    """The refusal of settings that together forbid every token.

    transformers writes a forbidden one, fails or writes nothing, by whether it takes the likeliest, draws or has beams.
    """
    names = " and ".join(forbidding(options))
    return InputError(f"no token is left to write: {names} forbid every one. Forbid fewer.")
