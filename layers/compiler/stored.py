"""How a linear layer's weight and bias lie in the checkpoint, and which part of them a site of the graph takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from layers.compiler.checkpoint import Checkpoint
from layers.compiler.head_layout import Picks

Array = NDArray[Any]
# Features a projection takes of a stored matrix: a slice, a rearrangement, or (None) all of them.
Selection = tuple[int, int] | Picks | None


@dataclass(frozen=True)
class Projection:
    """A linear layer as a recipe names it: `module` names the checkpoint's module and the plan's site.

    `weight` and `bias` override its tensors (tied weights; bias None for none). `rows` takes a slice of a fused
    projection's outputs or rearranges them, `columns` its inputs. `transposed` is for weights stored
    [in_features, out_features] (GPT-2's Conv1D).
    """

    module: str
    rows: Selection = None
    bias: str | None = ""
    weight: str | None = None
    columns: Selection = None
    transposed: bool = False

    def stored(self, checkpoint: Checkpoint) -> Stored:
        """Where it lies. Raises CheckpointError when the checkpoint has no such weight."""
        weight = self.weight or f"{self.module}.weight"
        out_features, in_features = checkpoint.shape(weight)[:: -1 if self.transposed else 1]
        return Stored(
            weight,
            f"{self.module}.bias" if self.bias == "" else self.bias,
            _unless_all(self.rows, out_features),
            _unless_all(self.columns, in_features),
            self.transposed,
        )


@dataclass(frozen=True)
class Stored:
    """How a site's weight and bias lie in the checkpoint, and which part of them the site takes."""

    weight: str
    bias: str | None
    rows: Selection
    columns: Selection
    transposed: bool

    @property
    def suffix(self) -> str:
        """What tells sites that share a tensor apart."""
        rows, columns = _name(self.rows), _name(self.columns)
        return f"[{rows},{columns}]" if columns else f"[{rows}]" if rows else ""

    def features(self, checkpoint: Checkpoint) -> tuple[int, int]:
        """(out_features, in_features) of the site."""
        out_features, in_features = checkpoint.shape(self.weight)[:: -1 if self.transposed else 1]
        return _count(self.rows, out_features), _count(self.columns, in_features)

    def read_weight(self, checkpoint: Checkpoint) -> Array:
        """[out_features, in_features], float32."""
        stored = checkpoint.read(self.weight)
        rows = _select(stored.T if self.transposed else stored, self.rows, 0)
        return np.asarray(_select(rows, self.columns, 1), np.float32)

    def read_bias(self, checkpoint: Checkpoint) -> Array:
        """[out_features], float32."""
        assert self.bias is not None
        # BART keeps the bias of its logits as [1, vocabulary].
        return np.asarray(_select(checkpoint.read(self.bias).reshape(-1), self.rows, 0), np.float32)


def _name(selection: Selection) -> str:
    return selection.name if isinstance(selection, Picks) else "{}:{}".format(*selection) if selection else ""


def _count(selection: Selection, features: int) -> int:
    if selection is None:
        return features
    return len(selection) if isinstance(selection, Picks) else selection[1] - selection[0]


def _select(array: Array, selection: Selection, axis: int) -> Array:
    if isinstance(selection, Picks):
        return selection.take(array, axis)
    return array if selection is None else array.take(range(*selection), axis)


def _unless_all(selection: Selection, features: int) -> Selection:
    """The selection; None where it takes every feature in order."""
    everything = isinstance(selection, Picks) and selection.indices == tuple(range(features))
    return None if everything else selection
