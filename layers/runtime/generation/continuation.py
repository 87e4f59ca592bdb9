"""What writing starts from, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from layers.runtime.generation.decoder import Ids
from layers.runtime.generation.loop import TokenEvent
from layers.runtime.generation.options import FinishReason


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the decoder starts from, int64 [length >= 1]; for an encoder-decoder with what its encoder reads.

    `predicted` is what may well be written: guesses are taken from it, and nothing else comes of it.
    """

    tokens: Ids
    source: Ids | None = None
    predicted: Ids | None = None

    def __len__(self) -> int:
        return len(self.tokens) + (0 if self.source is None else len(self.source))


@dataclass(slots=True)
class Continuation:
    """One text that was written. `events` are its tokens, with the one that ended it; `score` is a beam's."""

    text: str = ""
    finish: FinishReason = "length"
    events: list[TokenEvent] = field(default_factory=list)
    score: float | None = None

    @property
    def token_count(self) -> int:
        """Tokens generated, the one that ended the text included."""
        return len(self.events)

    def add(self, event: TokenEvent) -> None:
        """Take up the row's next token."""
        self.events.append(event)
        self.finish = event.finish or self.finish
