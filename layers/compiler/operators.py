"""Which operators a graph is made of, where there is a choice: named axes with named values.

An axis is a question ("how is a sum normalized?"), each of its values an answer that is called where the question comes
up. A plan carries the answers, a `Net` asks for them and notes which it asked, so that nobody has to list which
families and forms an axis is for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from layers.errors import CatalogueError

F = TypeVar("F")


@dataclass(frozen=True)
class Axis(Generic[F]):
    """One choice of operators. `values` has the default first.

    `quick` names the values that a quick tuning tries: they came nearest to the default where all were measured
    (docs/tuning.md), or depend most on the machine.
    `approximate` ones change answers by more than the order of additions does.
    """

    name: str
    values: Mapping[str, F]
    quick: frozenset[str] = frozenset()
    approximate: frozenset[str] = frozenset()

    @property
    def default(self) -> str:
        """What is used where nothing is known."""
        return next(iter(self.values))


@dataclass(frozen=True)
class Operators:
    """The value of every axis: `named` holds those that are not the default, sorted by axis."""

    named: tuple[tuple[str, str], ...] = ()

    def value(self, axis: Axis[F]) -> str:
        """The name of an axis's value."""
        return dict(self.named).get(axis.name, axis.default)

    def of(self, axis: Axis[F]) -> F:
        """What an axis's value does. Raises CatalogueError for a value that the axis has not."""
        value = self.value(axis)
        if value not in axis.values:
            raise CatalogueError(
                f"{axis.name}: got {value!r}, expected one of {', '.join(axis.values)}. Correct the tuning file."
            )
        return axis.values[value]

    def having(self, axis: Axis[F], value: str) -> Operators:
        """The same but for one axis."""
        others = {name: chosen for name, chosen in self.named if name != axis.name}
        chosen = others if value == axis.default else {**others, axis.name: value}
        return replace(self, named=tuple(sorted(chosen.items())))


DEFAULT_OPERATORS = Operators()
