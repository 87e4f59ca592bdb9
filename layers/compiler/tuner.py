"""The search for a variant's fastest operators: one axis after another, each value against what stands.

A value stays when the whole 95% interval of its gain is above a bar, in two pairs of sessions, and the gate passes it.
What was kept is then measured once more as a whole, in fresh sessions, against the default operators.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from layers.artifact import Trial, Variant
from layers.compiler.axes.registry import AXES, SESSION_AXES
from layers.compiler.decisions import Depth
from layers.compiler.draft import Draft
from layers.compiler.duel import Contender, Dueling, Gain
from layers.compiler.operators import DEFAULT_OPERATORS, Axis, Operators
from layers.compiler.plan import Plan
from layers.compiler.trial import Panel, hear

# Sessions of one graph differ by chance (where their memory lies), and within a pair no interval shows that: one pair
# said 1.38 [1.36 to 1.40] where fresh ones said 1.01. So a gain counts when two pairs show it, the lesser of the two.
WORTH = 1.02
SECONDS_PER_CASE: dict[Depth, float] = {"quick": 0.5, "full": 1.5}
NO_GAIN = Gain(1.0, (1.0, 1.0))

Say = Callable[[str], None]
# What a variant of the draft is timed by: each case of it, as it is served.
Opening = Callable[[str], Contender]


@dataclass(frozen=True)
class Found:
    """The operators to use, how much faster they are together, and what was tried."""

    operators: Operators
    gain: Gain
    trials: tuple[Trial, ...]


@dataclass(frozen=True)
class Tuner:
    """Everything that stays the same from value to value."""

    draft: Draft
    jury: Panel
    opening: Opening
    dueling: Dueling
    depth: Depth
    say: Say

    def tune(self, plan: Plan, *, row_independent: bool) -> Found:
        """Try every alternative for a plan whose variant passed; the draft is left as it was found."""
        standing = replace(plan, name=f"{plan.name}~stands").made_of(DEFAULT_OPERATORS)
        self.draft.add(standing)
        stands = self.opening(standing.name)
        trials: list[Trial] = []
        for axis, value in self._alternatives(standing):
            rival = replace(standing, name=f"{plan.name}~{axis.name}-{value}").made_of(
                standing.operators.having(axis, value)
            )
            if not self._differs(self.draft.add(rival), self.draft.variants[standing.name], axis):
                self.draft.discard(rival.name)
                continue
            challenger = self.opening(rival.name)
            gain = self.dueling(stands, challenger, SECONDS_PER_CASE[self.depth])
            if gain.interval[0] >= WORTH:
                stands, challenger = self.opening(standing.name), self.opening(rival.name)
                again = self.dueling(stands, challenger, SECONDS_PER_CASE[self.depth])
                gain = min(gain, again, key=lambda each: each.interval[0])
            trials.append(self._verdict(axis, value, standing, rival, gain, row_independent))
            if trials[-1].kept:
                standing, rival, stands = rival, standing, challenger
            self.draft.discard(rival.name)
        self.draft.discard(standing.name)
        del stands
        return self._confirmed(plan.made_of(DEFAULT_OPERATORS), plan.made_of(standing.operators), trials)

    def _alternatives(self, plan: Plan) -> Iterator[tuple[Axis[Any], str]]:
        """Values worth trying at this depth, of axes that the plan's graphs have a use for."""
        asked = {name for _, net in self.draft.recipe.graphs(plan).values() for name in net.asked}
        for axis in AXES:
            if axis.name not in asked and axis not in SESSION_AXES:
                continue
            for value in axis.values:
                if value != axis.default and (self.depth == "full" or value in axis.quick):
                    yield axis, value

    def _differs(self, rival: Variant, standing: Variant, axis: Axis[Any]) -> bool:
        """Where a form has no use for a value, the graph comes out as it was; so do threads where there is one."""
        if axis in SESSION_AXES:
            return self.draft.threads > 1
        return self._makings(rival) != self._makings(standing)

    def _makings(self, variant: Variant) -> tuple[dict[str, int], list[int]]:
        """Its operators, and how large the weights of its graphs are."""
        weights = (variant.weights_file, variant.encoder_weights_file)
        return variant.fused_nodes, [self.draft.records[name].bytes for name in weights if name]

    def _verdict(
        self, axis: Axis[Any], value: str, standing: Plan, rival: Plan, gain: Gain, row_independent: bool
    ) -> Trial:
        why = "" if gain.interval[0] >= WORTH else "not faster beyond noise"
        if not why:
            heard = hear(self.draft, rival.name, self.jury)
            if not heard.verdict.passed:
                why = f"failed the gate: {heard.verdict.metric} dropped {heard.verdict.drop:.2%}"
            elif row_independent and not heard.row_independent:
                why = "its rows depend on their company"
        self.say(f"tuning: {axis.name} = {value}: {shown(gain)}, {why or 'kept'}")
        return Trial(
            axis=axis.name,
            value=value,
            instead_of=standing.operators.value(axis),
            gain=gain.ratio,
            interval=gain.interval,
            kept=not why,
            why=why,
        )

    def _confirmed(self, start: Plan, won: Plan, trials: list[Trial]) -> Found:
        """What won, where it still does against the start as a whole; else the start."""
        if won.operators == start.operators:
            return Found(start.operators, NO_GAIN, tuple(trials))
        names = (f"{start.name}~before", f"{start.name}~after")
        for name, plan in zip(names, (start, won), strict=True):
            self.draft.add(replace(plan, name=name))
        before, after = (self.opening(name) for name in names)
        gain = self.dueling(before, after, 2 * SECONDS_PER_CASE[self.depth])
        for name in names:
            self.draft.discard(name)
        if gain.interval[0] >= WORTH:
            self.say(f"tuning: together {shown(gain)}, confirmed in fresh sessions")
            return Found(won.operators, gain, tuple(trials))
        why = f"not confirmed in fresh sessions: {shown(gain)}"
        self.say(f"tuning: {why}; the default operators stay")
        refused = [trial.model_copy(update={"kept": False, "why": why}) if trial.kept else trial for trial in trials]
        return Found(start.operators, NO_GAIN, tuple(refused))


def shown(gain: Gain) -> str:
    """A gain for people."""
    return f"{gain.ratio:.2f} times as fast [{gain.interval[0]:.2f} to {gain.interval[1]:.2f}]"
