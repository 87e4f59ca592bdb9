"""What tuning decided, by machine and shape: read from the tables that ship and from the user's own, which win.

A table is `["MACHINE"."SHAPE"."FORM"]`, in TOML that people can read and mend (docs/tuning.md).
"""

from __future__ import annotations

import json
import platform
import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from layers.artifact import Trial, Tuned
from layers.compiler.axes.registry import AXES
from layers.compiler.checkpoint import Checkpoint
from layers.compiler.operators import DEFAULT_OPERATORS, Operators
from layers.errors import CatalogueError
from layers.whole_file import write_whole

SHIPPED = Path(__file__).parent / "tuning"
SHIPPED_PATTERN = "processors*.toml"
OWN = "tuning.toml"
CPUINFO = Path("/proc/cpuinfo")
HEADER = (
    "# What was measured to be the fastest on a machine, by shape and form of the variant (docs/tuning.md).",
    "# `gain` and `interval` compare all operators together with the default ones, in fresh sessions.",
)

Depth = Literal["off", "quick", "full"]
DEPTHS: tuple[Depth, ...] = ("off", "quick", "full")


@dataclass(frozen=True)
class Decision:
    """The operators that won, by axis (those that are not the default), by how much together, and all that was tried.

    `measured` is the day, `model` the table of the catalogue that it was measured on.
    """

    operators: dict[str, str]
    gain: float
    interval: tuple[float, float]
    depth: Depth
    measured: str
    onnxruntime: str
    model: str
    tried: tuple[Trial, ...] = ()

    @property
    def chosen(self) -> Operators:
        """The operators; axes and values that are gone since are left out."""
        operators = DEFAULT_OPERATORS
        for axis in AXES:
            if self.operators.get(axis.name, axis.default) in axis.values:
                operators = operators.having(axis, self.operators.get(axis.name, axis.default))
        return operators


def machine_kind(instruction_set: str, threads: int, cpuinfo: Path = CPUINFO) -> str:
    """Machines whose measurements are taken for one another's: as many threads of one kind of processor."""
    return f"{instruction_set}, {processor_kind(cpuinfo)}, {threads} thread{'' if threads == 1 else 's'}"


def processor_kind(cpuinfo: Path = CPUINFO) -> str:
    """Vendor, family and model: names that hosts give to their processors are too coarse to tell two apart."""
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    facts: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        facts.setdefault(key.strip(), value.strip())
    vendor = facts.get("vendor_id") or facts.get("CPU implementer") or platform.machine()
    family = [f"{word} {facts[key]}" for word, key in _FAMILY.items() if key in facts]
    return " ".join([vendor, *family])


_FAMILY = {"family": "cpu family", "model": "model", "part": "CPU part"}


def shape_of(checkpoint: Checkpoint) -> str:
    """Models whose measurements are taken for one another's: one architecture, as wide."""
    sides = Counter(side for entry in checkpoint.tensors.values() if len(entry.shape) == 2 for side in entry.shape)
    return f"{checkpoint.model_type}, {sides.most_common(1)[0][0]} wide"


def form_of(variant: str) -> str:
    """Variants that differ in the bits of their weights alone are one form: the graph is the same."""
    return variant.removesuffix("-7bit")


@dataclass(frozen=True)
class Decisions:
    """Those for one shape on one machine, by form of the variant. `measured_here` are the user's own."""

    own: Path
    machine: str
    shape: str
    shipped: dict[str, Decision]
    measured_here: dict[str, Decision]

    @classmethod
    def open(cls, own: Path, machine: str, shape: str, shipped: Path = SHIPPED) -> Decisions:
        """Read both kinds of tables. Raises CatalogueError for one that is broken."""
        known: dict[str, Decision] = {}
        for path in sorted(shipped.glob(SHIPPED_PATTERN)):
            known |= _decisions(path, machine, shape)
        return cls(own, machine, shape, known, _decisions(own, machine, shape))

    def of(self, variant: str) -> tuple[Decision, str] | None:
        """What is known of a variant's form, and where from."""
        form = form_of(variant)
        for found, name in ((self.measured_here, self.own.name), (self.shipped, "shipped with this release")):
            if form in found:
                known = found[form]
                return known, f"{name}, measured {known.measured} with onnxruntime {known.onnxruntime}"
        return None

    def report(self, variant: str) -> Tuned | None:
        """What is known of a variant's form, for its manifest; what was tried only where the user measured it."""
        known = self.of(variant)
        if known is None:
            return None
        decision, origin = known
        tried = decision.tried if form_of(variant) in self.measured_here else ()
        return Tuned(gain=decision.gain, interval=decision.interval, origin=origin, trials=tried)

    def depth(self, variant: str, onnxruntime: str) -> Depth:
        """How thoroughly the user has measured a form with this onnxruntime."""
        decision = self.measured_here.get(form_of(variant))
        return decision.depth if decision is not None and decision.onnxruntime == onnxruntime else "off"

    def facts(self) -> dict[str, dict[str, str]]:
        """What an artifact depends on, for its digest: the operators, and not the figures."""
        known = {**self.shipped, **self.measured_here}
        return {form: decision.operators for form, decision in sorted(known.items()) if decision.operators}

    def keep(self, variant: str, decision: Decision) -> None:
        """Remember a decision, and write it to the user's table, which is replaced in one step."""
        self.measured_here[form_of(variant)] = decision
        tables = _read(self.own)
        entry = {**vars(decision), "tried": [trial.model_dump() for trial in decision.tried]}
        tables.setdefault(self.machine, {}).setdefault(self.shape, {})[form_of(variant)] = entry
        self.own.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self.own, _written(tables).encode())


def _written(tables: Mapping[str, Mapping[str, Mapping[str, Mapping[str, Any]]]]) -> str:
    lines = [*HEADER]
    for machine, shapes in sorted(tables.items()):
        for shape, forms in sorted(shapes.items()):
            for form, entry in sorted(forms.items()):
                lines += ["", f"[{json.dumps(machine)}.{json.dumps(shape)}.{form}]"]
                lines += [f"{key} = {_toml(value)}" for key, value in entry.items() if key != "tried"]
                lines += ["tried = [", *(f"  {_toml(trial)}," for trial in entry["tried"]), "]"]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    """Texts, numbers, booleans and lists are written as in JSON; tables are not."""
    if isinstance(value, Mapping):
        inside = ", ".join(f"{key} = {_toml(each)}" for key, each in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    return json.dumps(value)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except tomllib.TOMLDecodeError as error:
        raise CatalogueError(f"{path}: not TOML ({error}). Correct it, or delete it and tune again.") from error


def _decisions(path: Path, machine: str, shape: str) -> dict[str, Decision]:
    forms = _read(path).get(machine, {}).get(shape, {})
    return {form: _decision(path, form, entry) for form, entry in forms.items()}


def _decision(path: Path, form: str, entry: Mapping[str, Any]) -> Decision:
    try:
        low, high = entry["interval"]
        if entry["depth"] not in DEPTHS:
            raise ValueError(entry["depth"])
        return Decision(
            operators={str(axis): str(value) for axis, value in entry["operators"].items()},
            gain=float(entry["gain"]),
            interval=(float(low), float(high)),
            depth=entry["depth"],
            measured=str(entry["measured"]),
            onnxruntime=str(entry["onnxruntime"]),
            model=str(entry["model"]),
            tried=tuple(Trial.model_validate(trial) for trial in entry.get("tried", ())),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CatalogueError(
            f"{path}: the decision on {form} is not complete ({error!r}). Correct it, or delete it and tune again."
        ) from error
