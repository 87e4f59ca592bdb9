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

    def record(self, drafted: int, accepted: int) -> None:
        """One run of the decoder that checked so many guessed tokens."""
        with self._lock:
            self._drafted += drafted
            self._accepted += accepted
            self._runs += 1

    def report(self) -> LookupReport:
        """The counts so far."""
        with self._lock:
            return LookupReport(self._drafted, self._accepted, self._runs)


class Drafts:
    """Guesses for one text: what followed its last two tokens where they stood together before.

    What followed the last one alone would be guessed more often and wrong more often: texts drawn at random, which
    repeat little, would be written slower than without. A draft that reaches the end of what is written repeats itself.
    Its length follows how the guesses before went: twice as long after one that was right throughout, and one token
    beyond what was right after any other.
    """

    def __init__(self, read: Sequence[int], most_tokens: int) -> None:
        self._most_tokens = most_tokens
        self._tokens: list[int] = []
        self._after: dict[tuple[int, int], int] = {}
        self._length = min(FIRST_DRAFT_TOKENS, most_tokens)
        for token in read:
            self.add(token)

    def add(self, token: int) -> None:
        """The text goes on with `token`."""
        written = self._tokens
        if len(written) > 1:
            self._after[written[-2], written[-1]] = len(written)
        written.append(token)

    def guess(self, limit: int) -> list[int]:
        """At most `limit` tokens that may come next; none where nothing like it was seen."""
        written = self._tokens
        start = self._after.get((written[-2], written[-1])) if len(written) > 1 else None
        if start is None:
            return []
        again = len(written) - start
        return [written[start + place % again] for place in range(min(self._length, limit))]

    def learn(self, drafted: int, accepted: int) -> None:
        """Of a guess of `drafted` tokens the first `accepted` were right."""
        if drafted:
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
    drafts = Drafts([*source, *prompt.tolist()], lookup.draft_tokens)
    left = options.max_new_tokens
    events = [row.advance(decoder.prefill([prompt])[0])]
    while True:
        yield from events
        if events[-1].finish:
            return
        for event in events:
            drafts.add(event.token)
        left -= len(events)
        draft = drafts.guess(left - 1)
        scores = decoder.step_ahead([events[-1].token, *draft])
        events = []
        for guess, own in zip([*draft, None], scores, strict=True):
            events.append(row.advance(own))
            if events[-1].finish or events[-1].token != guess:
                break
        accepted = len(events) - 1
        decoder.take_back(len(draft) - accepted)
        drafts.learn(len(draft), accepted)
        lookup.record(len(draft), accepted)
