"""Encodings that know where in the text their tokens stand, and how long ones are cut into windows. Pure numpy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from layers.errors import InputError

Ids = npt.NDArray[np.int64]
# Windows of one text: 50,000 tokens or so of a model that takes 512. More would be minutes for one request.
MAX_WINDOWS = 256


@dataclass(frozen=True, slots=True)
class Encoding:
    """One text, or pair of texts, as the model takes it: `input_ids` and `token_type_ids` [sequence].

    `truncated_tokens` is how many were cut to fit.
    """

    input_ids: Ids
    token_type_ids: Ids
    truncated_tokens: int

    def __len__(self) -> int:
        return len(self.input_ids)


@dataclass(frozen=True, slots=True)
class AlignedEncoding(Encoding):
    """An encoding with each token's place.

    `sequence_ids` [sequence] is 0 or 1 for the text a token is of, -1 for special tokens; `offsets` [sequence, 2] are
    its first character and the one after its last; `word_ids` [sequence] count words, -1 outside of any.
    """

    sequence_ids: Ids
    offsets: Ids
    word_ids: Ids

    def kept(self, positions: Ids, truncated_tokens: int = 0) -> AlignedEncoding:
        """The same with the tokens at `positions` only."""
        return AlignedEncoding(
            self.input_ids[positions],
            self.token_type_ids[positions],
            truncated_tokens,
            self.sequence_ids[positions],
            self.offsets[positions],
            self.word_ids[positions],
        )

    @property
    def nbytes(self) -> int:
        """Of all arrays."""
        arrays = (self.input_ids, self.token_type_ids, self.sequence_ids, self.offsets, self.word_ids)
        return sum(array.nbytes for array in arrays)


def windows(
    whole: AlignedEncoding,
    sequence: int,
    max_tokens: int,
    stride: int,
    *,
    shrink_stride: bool = False,
    from_end: bool = False,
) -> list[AlignedEncoding]:
    """Cut text number `sequence` of `whole` so that each part fits beside all other tokens; neighbours share `stride`.

    One window when everything fits. As tokenizers' truncation with a stride: the last part is the short one, and
    `from_end`, where the text's end comes first, that of its beginning. With `shrink_stride`, a stride that is not
    smaller than a part becomes half of it. Raises InputError (422) where it stays too large, where there is no room, or
    for more than MAX_WINDOWS.
    """
    if len(whole) <= max_tokens:
        return [whole]
    inside = whole.sequence_ids == sequence
    places, others = np.flatnonzero(inside), np.flatnonzero(~inside)
    room = max_tokens - len(others)
    if room < 1:
        raise InputError(
            f"input is too long: got {len(others)} tokens beside the text that is read in parts, "
            f"expected fewer than {max_tokens}. Shorten it."
        )
    if stride >= room and shrink_stride:
        stride = room // 2
    if stride >= room:
        raise InputError(f"parts of the text share {stride} tokens: expected fewer than the {room} that one has.")
    step = room - stride
    starts = range(0, max(1, len(places) - room + step), step)
    if len(starts) > MAX_WINDOWS:
        raise InputError(
            f"input is too long: got {len(places)} tokens, which are {len(starts)} parts of {room} that share "
            f"{stride}; expected at most {MAX_WINDOWS} parts. Shorten it, or let the parts share less."
        )
    if from_end:
        places = places[::-1]
    return [
        # What was cut before is counted once.
        whole.kept(
            np.sort(np.concatenate([others, places[start : start + room]])), 0 if start else whole.truncated_tokens
        )
        for start in starts
    ]
