"""The loop: rows advance together, each by its own choice, and leave when they have ended."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from layers.errors import ModelOutputError
from layers.runtime.generation.decoder import Decoder, Ids, LikeliestDecoder, Logits
from layers.runtime.generation.detokenizer import Detokenizer
from layers.runtime.generation.options import DecodingOptions, FinishReason
from layers.runtime.generation.sampling import TokenChooser, TopTokens
from layers.runtime.generation.stopping import StopStrings


@dataclass(frozen=True, slots=True)
class TokenEvent:
    """One token of one row.

    `text` is what can be shown with it: "" for a special token and while a character is incomplete, more than its own
    with the rest of one. The texts of a row add up to its whole text. `finish` says why this token is the last one.
    """

    row: int
    token: int
    text: str
    special: bool
    logprob: float | None
    top: TopTokens
    finish: FinishReason | None


class Row:
    """One text under way: what was chosen, what may be chosen, and when it ends."""

    def __init__(self, place: int, prompt: Ids, options: DecodingOptions, detokenizer: Detokenizer) -> None:
        self.place = place
        self._history = np.empty(len(prompt) + options.max_new_tokens, dtype=np.int64)
        self._history[: len(prompt)] = prompt
        self._length = len(prompt)
        self._chooser = TokenChooser(options, len(prompt))
        self._special = detokenizer.special
        self._text = detokenizer.stream(prompt[: len(prompt) - options.begun].tolist())
        self._stops = StopStrings(options.stop, keep=options.keep_stop)
        self._ends = frozenset(options.eos_token_ids)
        self._stop_tokens = detokenizer.special_named(options.stop)

    def advance(self, scores: Logits) -> TokenEvent:
        """Choose the next token from scores [vocabulary].

        A token that ends the text in several ways is reported as the first of: end token, stop string, length.
        """
        return self._take(*self._chooser.choose(self._history[: self._length], scores))

    @property
    def takes_likeliest(self) -> bool:
        """Whether `advance` would take the likeliest token whatever the other scores are, and report no scores."""
        return self._chooser.takes_likeliest

    @property
    def may_take_likeliest(self) -> bool:
        """The same, but for tokens that `takes` refuses."""
        return self._chooser.may_take_likeliest

    def takes(self, token: int) -> bool:
        """Whether `advance` would take `token`, which is known to be the likeliest, and report no scores."""
        return self._chooser.takes(self._history[: self._length], token)

    def accept(self, token: int, score: float) -> TokenEvent:
        """As `advance`, of a token that is known to be the likeliest, with its logit."""
        if not math.isfinite(score):
            raise ModelOutputError(f"the decoder's logits hold {score}: no token can be chosen")
        return self._take(token, None, ())

    def _take(self, token: int, logprob: float | None, top: TopTokens) -> TokenEvent:
        self._history[self._length] = token
        self._length += 1
        text, stopped = self._stops.feed(self._text.add(token))
        finish: FinishReason | None = None
        if token in self._ends:
            finish = "eos_token"
        elif stopped or token in self._stop_tokens:
            finish = "stop_sequence"
        elif self._length == len(self._history):
            finish = "length"
        if finish and not stopped:
            rest, stopped = self._stops.feed(self._text.finish())
            text += rest if stopped else rest + self._stops.flush()
        return TokenEvent(self.place, token, text, token in self._special, logprob, top, finish)


def generate(
    decoder: Decoder, prompts: Sequence[Ids], options: Sequence[DecodingOptions], detokenizer: Detokenizer
) -> Iterator[TokenEvent]:
    """Continue every prompt by its own options; events of a row in order, rows interleaved.

    Options that differ in nothing but the seed and start from one prompt object are computed once and then branch.
    Closing the iterator stops the work; the decoder stays to be released by whoever opened it.
    """
    rows = [
        Row(place, prompt, own, detokenizer) for place, (prompt, own) in enumerate(zip(prompts, options, strict=True))
    ]
    if len(prompts) > 1 and all(prompt is prompts[0] for prompt in prompts):
        logits = decoder.prefill(prompts[:1]).repeat(len(prompts), axis=0)
        decoder.reorder([0] * len(prompts))
    else:
        logits = decoder.prefill(prompts)
    chooser = decoder if isinstance(decoder, LikeliestDecoder) and all(row.takes_likeliest for row in rows) else None
    likeliest: list[tuple[int, float]] | None = None
    while True:
        tokens: list[int] = []
        going: list[int] = []
        for place, row in enumerate(rows):
            event = row.advance(logits[place]) if likeliest is None else row.accept(*likeliest[place])
            if event.finish is None:
                tokens.append(event.token)
                going.append(place)
            yield event
        if not going:
            return
        if len(going) < len(rows):
            decoder.reorder(going)
            rows = [rows[place] for place in going]
        if chooser is None:
            logits = decoder.step(tokens)
        else:
            likeliest = chooser.step_to_likeliest(tokens)
