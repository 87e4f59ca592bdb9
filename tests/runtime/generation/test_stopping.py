"""Stop strings are found wherever the pieces break, and nothing after them is shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers.runtime.generation.stopping import StopStrings


def shown(stops: list[str], pieces: list[str], *, keep: bool) -> tuple[str, bool]:
    watch = StopStrings(stops, keep=keep)
    text = ""
    for piece in pieces:
        part, stopped = watch.feed(piece)
        text += part
        if stopped:
            return text, True
    return text + watch.flush(), False


def expected(stops: list[str], text: str, *, keep: bool) -> tuple[str, bool]:
    """By looking at every beginning of the text, one character at a time."""
    for end in range(1, len(text) + 1):
        ending = [stop for stop in stops if text[:end].endswith(stop)]
        if ending:
            return text[: end if keep else end - max(map(len, ending))], True
    return text, False


@pytest.mark.parametrize("keep", [True, False])
@given(
    stops=st.lists(st.text("ab\n", min_size=1, max_size=4), max_size=3),
    pieces=st.lists(st.text("ab\nc", max_size=4), max_size=12),
)
def test_as_if_read_character_by_character(keep: bool, stops: list[str], pieces: list[str]) -> None:
    assert shown(stops, pieces, keep=keep) == expected(stops, "".join(pieces), keep=keep)


def test_a_possible_beginning_is_withheld_only_when_it_may_be_cut() -> None:
    assert StopStrings(["###"], keep=True).feed("a #") == ("a #", False)
    assert StopStrings(["###"], keep=False).feed("a #") == ("a ", False)
