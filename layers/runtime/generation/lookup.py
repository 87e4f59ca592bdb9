"""Prompt lookup: what a text says again is guessed from where it was said, and several tokens are checked in one run.

A text often repeats its prompt, its source or itself: names, numbers, phrases. A decoder reads all its weights for one
token and hardly longer for a few, so a guess that holds makes tokens nearly free, and one that fails costs little.
Every token is chosen from its own logits, as it would be without a guess. This is speculative decoding (Leviathan et
al. 2022, arXiv:2211.17192) without a second model; transformers calls it `prompt_lookup_num_tokens`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from threading import Lock

from layers.runtime.generation.decoder import AheadDecoder, Ids
from layers.runtime.generation.detokenizer import Detokenizer
from layers.runtime.generation.loop import Row, TokenEvent
from layers.runtime.generation.options import DecodingOptions

FIRST_DRAFT_TOKENS = 2


@dataclass(frozen=True)
class LookupReport:
    """Since the model was opened: tokens guessed, those of them that were right, and runs of the decoder in all."""

    drafted_tokens: int
    accepted_tokens: int
    runs: int


class Lookup:
    """How many tokens may be guessed at once, and how guesses went. Safe to share between threads."""

    def __init__(self, draft_tokens: int) -> None:
        self.draft_tokens = draft_tokens
        self._drafted = self._accepted = self._runs = 0
        self._lock = Lock()

    def record(self, drafted: int, accepted: int, runs: int) -> None:
        """One text: so many tokens guessed, of them right, and runs of the decoder after its prompt."""
        with self._lock:
            self._drafted += drafted
            self._accepted += accepted
            self._runs += runs

    def report(self) -> LookupReport:
        """The counts so far."""
        with self._lock:
            return LookupReport(self._drafted, self._accepted, self._runs)


class Drafts:
    """Guesses for one text: what followed its last two tokens where they stood together before.

    A guess is made while the last one held, of which the first are made in silence: text that repeats little, as what
    is drawn at random does, costs nothing then. Guesses from one token in place of two were right too seldom to pay. A
    draft that reaches the end of what is written repeats itself. Its length follows how drafts before went: twice as
    long after one that was right throughout, and one token beyond what was right after any other.
    """

    def __init__(self, read: Sequence[int], most_tokens: int) -> None:
        self._most_tokens = most_tokens
        self._length = min(FIRST_DRAFT_TOKENS, most_tokens)
        self._tokens: list[int] = []
        self._after: dict[tuple[int, int], int] = {}
        # Where what is guessed to come next was written before.
        self._next: int | None = None
        self._trusted = False
        for token in read:
            self.add(token)

    def add(self, token: int) -> None:
        """The text goes on with `token`."""
        written = self._tokens
        if self._next is not None:
            self._trusted = token == written[self._next]
        if len(written) > 1:
            self._after[written[-2], written[-1]] = len(written)
        written.append(token)
        self._next = self._after.get((written[-2], token)) if len(written) > 1 else None

    def guess(self, limit: int) -> list[int]:
        """At most `limit` tokens that may come next; none where nothing like it was seen, or the last guess failed."""
        if self._next is None or not self._trusted:
            return []
        written, start = self._tokens, self._next
        again = len(written) - start
        return [written[start + place % again] for place in range(min(self._length, limit))]

    def learn(self, drafted: int, accepted: int) -> None:
        """Of a guess of `drafted` tokens the first `accepted` were right."""
        wanted = 2 * self._length if accepted == drafted else accepted + 1
        self._length = min(wanted, self._most_tokens)


def generate_ahead(
    decoder: AheadDecoder,
    prompt: Ids,
    options: DecodingOptions,
    detokenizer: Detokenizer,
    lookup: Lookup,
    source: Sequence[int] = (),
) -> Iterator[TokenEvent]:
    """As `generate` of one prompt; tokens of `source` are looked up beside the prompt's and the text's own.

    The decoder computes a token alike in any company, or texts would depend on the guesses.
    """
    row = Row(0, prompt, options, detokenizer)
    events = [row.advance(decoder.prefill([prompt])[0])]
    yield events[0]
    if events[0].finish:
        return
    # Read when the first token is out, which would wait for it.
    drafts = Drafts([*source, *prompt.tolist()], lookup.draft_tokens)
    left = options.max_new_tokens
    drafted = accepted = runs = 0
    try:
        while not events[-1].finish:
            for event in events:
                drafts.add(event.token)
            left -= len(events)
            draft = drafts.guess(left - 1)
            # A run of one token is shared with what is written without guesses.
            scores = decoder.step_ahead([events[-1].token, *draft]) if draft else decoder.step([events[-1].token])
            events = []
            for guess, own in zip([*draft, None], scores, strict=True):
                events.append(row.advance(own))
                if events[-1].finish or events[-1].token != guess:
                    break
            right = len(events) - 1
            if draft:
                decoder.take_back(len(draft) - right)
                drafts.learn(len(draft), right)
            drafted, accepted, runs = drafted + len(draft), accepted + right, runs + 1
            yield from events
    finally:
        lookup.record(drafted, accepted, runs)
