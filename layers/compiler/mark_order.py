"""SentencePiece's reading of combining marks, for the Rust library's `Precompiled` normalizer.

SentencePiece replaces the longest match of its table from left to right. The Rust library looks at whole characters
with their marks, takes the shortest match and drops the marks behind it: "a", a diaeresis and a dot below lose the dot.
Three steps before it make the two agree: marks that stand in no canonical order are held where they are, what the table
composes is composed (NFC), and marks that are left stand apart from their character.
"""

from __future__ import annotations

import sys
import unicodedata
from functools import cache
from itertools import groupby

from tokenizers import Regex, normalizers

# A private-use character: it begins no piece and no entry of the table, and ends a character's cluster of marks.
APART = "\ue0fe"


def with_marks_as_sentencepiece_reads_them(normalizer: normalizers.Normalizer) -> normalizers.Normalizer:
    """`normalizer` behind the three steps, if it is made of a `Precompiled` table; otherwise as it is."""
    if "Precompiled" not in str(normalizer):
        return normalizer
    return normalizers.Sequence(
        [
            normalizers.Replace(Regex(_out_of_order()), APART),
            normalizers.NFC(),
            normalizers.Replace(Regex(r"(?=\p{M})"), APART),
            normalizer,
            normalizers.Replace(APART, ""),
        ]
    )


@cache
def _out_of_order() -> str:
    """Places between two marks that NFC would exchange: the first's combining class is higher than the second's."""
    classes: dict[int, list[int]] = {}
    for point in range(sys.maxunicode + 1):
        if kind := unicodedata.combining(chr(point)):
            classes.setdefault(kind, []).append(point)
    places = []
    for kind in sorted(classes)[1:]:
        lower = sorted(point for other in classes if other < kind for point in classes[other])
        places.append(f"(?<=[{_ranges(classes[kind])}])(?=[{_ranges(lower)}])")
    # Most texts hold no two marks in a row: asked first, that costs less than the places it guards.
    return f"(?=\\p{{M}})(?<=\\p{{M}})(?:{'|'.join(places)})"


def _ranges(points: list[int]) -> str:
    runs = [[point for _, point in run] for _, run in groupby(enumerate(points), lambda pair: pair[1] - pair[0])]
    return "".join(f"\\x{{{run[0]:x}}}-\\x{{{run[-1]:x}}}" for run in runs)
