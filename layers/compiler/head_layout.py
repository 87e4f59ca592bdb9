"""Heads of any size in the sizes GroupQueryAttention takes, by moving and adding zero rows when the graph is built.

onnxruntime 1.32 on CPU wants head sizes in multiples of 8, and with rotary positions multiples of 16 whose rotated
halves are multiples of 8. Zeros added to queries and keys change no score, zeros added to values come out as zeros
that the output projection multiplies by zeros. The answer is the same number for number, and costs nothing at run
time but the width; the scale stays that of the true head size.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

EIGHT = 8


@dataclass(frozen=True)
class Picks:
    """Entries of an axis in a new order, by index; -1 stands for zeros. `name` tells selections of one tensor apart."""

    name: str
    indices: tuple[int, ...]

    def take(self, array: NDArray[Any], axis: int) -> NDArray[Any]:
        """The picked entries along `axis`; zeros where the index is -1."""
        indices = np.asarray(self.indices)
        taken = np.take(array, np.maximum(indices, 0), axis=axis)
        shape = [1] * taken.ndim
        shape[axis] = len(indices)
        return np.where((indices >= 0).reshape(shape), taken, np.zeros((), taken.dtype))

    def __len__(self) -> int:
        return len(self.indices)


@dataclass(frozen=True)
class HeadLayout:
    """Where the values of a head of `size`, whose first `rotary` values are rotated, lie in a head of `padded`.

    The halves of the rotated part lie at 0 and at its padded half, as rotation by halves (GPT-NeoX, Llama) expects.
    """

    size: int
    rotary: int = 0

    @property
    def half(self) -> int:
        """Columns of the rotary tables."""
        return _up(self.rotary // 2, EIGHT)

    @property
    def padded(self) -> int:
        """The head size in the graph and in the cache."""
        return len(self.places)

    @cached_property
    def places(self) -> tuple[int, ...]:
        """For every value of a padded head, which value of the true head it is, or -1 for a zero."""
        true_half = self.rotary // 2
        gap = [-1] * (self.half - true_half)
        passed = range(self.rotary, self.size)
        places = [*range(true_half), *gap, *range(true_half, self.rotary), *gap, *passed]
        wanted = _up(len(places), 2 * EIGHT if self.rotary else EIGHT)
        return (*places, *[-1] * (wanted - len(places)))

    def picks(self, heads: int, *, start: int = 0, stride: int | None = None) -> Picks:
        """The features of `heads` padded heads, from true heads that begin at `start` and lie `stride` apart."""
        stride = stride or self.size
        indices = [-1 if p < 0 else start + head * stride + p for head in range(heads) for p in self.places]
        apart = f"/{stride}" if stride != self.size else ""
        return Picks(f"{start}:{start + heads * stride}{apart}", tuple(indices))

    def pad(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values of one head [..., size] in their places [..., padded]."""
        return Picks("", self.places).take(values, values.ndim - 1)

    def table(self, values: NDArray[np.float32], rest: float) -> NDArray[np.float32]:
        """A rotary table [positions, rotary / 2] as [positions, half], `rest` where padding is turned by nothing."""
        return np.pad(values, ((0, 0), (0, self.half - values.shape[1])), constant_values=rest)


def _up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple
