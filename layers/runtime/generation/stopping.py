"""Stop strings: found in the text as it grows, wherever token boundaries fall."""

from __future__ import annotations

from collections.abc import Sequence


class StopStrings:
    """Looks through pieces of one text. `keep` says whether the string that was found belongs to the text."""

    def __init__(self, stops: Sequence[str], *, keep: bool) -> None:
        self._stops = tuple(stops)
        self._keep = keep
        self._longest = max((len(stop) for stop in stops), default=0)
        self._tail = ""

    def feed(self, piece: str) -> tuple[str, bool]:
        """What may be shown now, and whether the text ends with it.

        The first string to be complete ends the text, the longest where two end together. When it is not kept, text
        that may be its beginning is withheld until it is known.
        """
        if not self._stops:
            return piece, False
        text = self._tail + piece
        found = [(start + len(stop), start) for stop in self._stops if (start := text.find(stop)) >= 0]
        if found:
            end, start = min(found)
            shown = text[len(self._tail) : end] if self._keep else text[:start]
            return shown, True
        if self._keep:
            self._tail = text[-(self._longest - 1) :] if self._longest > 1 else ""
            return piece, False
        held = self._possible_beginning(text)
        self._tail = text[len(text) - held :]
        return text[: len(text) - held], False

    def flush(self) -> str:
        """What was withheld, now that nothing follows."""
        withheld = "" if self._keep else self._tail
        self._tail = ""
        return withheld

    def _possible_beginning(self, text: str) -> int:
        """Length of the longest end of `text` that a stop string begins with."""
        for length in range(min(self._longest - 1, len(text)), 0, -1):
            if any(stop.startswith(text[-length:]) for stop in self._stops):
                return length
        return 0
