"""The operators of chosen variants: measured when the build is asked to, else what is known of machine and shape."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from layers.artifact import INSTRUCTION_SETS, InstructionSet
from layers.compiler.decisions import CPUINFO, DEPTHS, SHIPPED, Decision, Decisions, Depth
from layers.compiler.draft import Draft
from layers.compiler.duel import Dueling, duel
from layers.compiler.plan import Plan
from layers.compiler.trial import Panel, describe, judge
from layers.compiler.tuner import Opening, Tuner

Say = Callable[[str], None]


@dataclass(frozen=True)
class Tuning:
    """How thoroughly a build measures, by what clock, and where it looks for what is known."""

    depth: Depth = "off"
    dueling: Dueling = duel
    shipped: Path = SHIPPED
    cpuinfo: Path = CPUINFO

    def asks_more_than(self, known: Depth) -> bool:
        """Whether something is left to measure."""
        return DEPTHS.index(known) < DEPTHS.index(self.depth)


KNOWN = Tuning()


@dataclass(frozen=True)
class OperatorChoice:
    """What a build needs beside the variants it chose. `here` is this machine's instruction set."""

    tuning: Tuning
    decisions: Decisions
    here: InstructionSet
    onnxruntime: str

    def facts(self, target: str) -> dict[str, dict[str, str]]:
        """What is known for this machine and goes into an artifact for the target, for its digest."""
        return self.decisions.facts() if self.here in INSTRUCTION_SETS[target] else {}

    def measured_enough(self, chosen: Mapping[InstructionSet, str]) -> bool:
        """Whether an artifact that serves these variants has nothing left to measure on this machine."""
        served = chosen.get(self.here)
        return served is None or not self.tuning.asks_more_than(self.decisions.depth(served, self.onnxruntime))

    def settle(
        self,
        draft: Draft,
        jury: Panel,
        plans: Mapping[str, Plan],
        chosen: Mapping[InstructionSet, str],
        opening: Opening,
        say: Say,
    ) -> list[str]:
        """Give the chosen variants their operators; names those whose latencies are to be measured again.

        Every one whose operators change is judged again, and stays as it was where the gate fails it.
        """
        served = chosen.get(self.here)
        if served is None:
            return []
        if not self.measured_enough(chosen):
            tuner = Tuner(draft, jury, opening, self.tuning.dueling, self.tuning.depth, say)
            self._measure(tuner, _kept(draft, plans[served]))
        return [
            name for name in dict.fromkeys(chosen.values()) if self._given(draft, jury, _kept(draft, plans[name]), say)
        ]

    def _measure(self, tuner: Tuner, plan: Plan) -> None:
        variant = tuner.draft.variants[plan.name]
        found = tuner.tune(plan, row_independent=variant.row_independent)
        if not found.operators.named:
            tuner.say(f"tuning: {len(found.trials)} alternatives tried, the default operators stay")
        decision = Decision(
            operators=dict(found.operators.named),
            gain=found.gain.ratio,
            interval=found.gain.interval,
            depth=tuner.depth,
            measured=datetime.now(UTC).date().isoformat(),
            onnxruntime=self.onnxruntime,
            model=tuner.draft.spec.name,
            tried=found.trials,
        )
        self.decisions.keep(plan.name, decision)

    def _given(self, draft: Draft, jury: Panel, plan: Plan, say: Say) -> bool:
        """Whether a variant has other operators now than it had."""
        known = self.decisions.of(plan.name)
        if known is None:
            return False
        decision, origin = known
        after, earlier = plan.made_of(decision.chosen), draft.variants[plan.name]
        report = {"tuned": self.decisions.report(plan.name)}
        if after.operators == plan.operators:
            draft.settle(earlier.model_copy(update=report))
            return False
        draft.discard(plan.name)
        heard = judge(draft, after, jury)
        operators = ", ".join(f"{axis} = {value}" for axis, value in after.operators.named)
        say(f"{describe(heard)}, with {operators} ({origin})")
        if heard.verdict.passed and heard.row_independent >= earlier.row_independent:
            draft.settle(heard.model_copy(update=report))
            return True
        say(f"{plan.name}: the default operators stay")
        draft.discard(plan.name)
        draft.add(plan)
        draft.settle(earlier)
        return False


def _kept(draft: Draft, plan: Plan) -> Plan:
    """The plan with the layers that the gate made it keep in fp32."""
    return plan.keeping(frozenset(draft.variants[plan.name].kept_fp32))
