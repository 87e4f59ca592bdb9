"""Judging candidates: each is written, opened through the runtime and put to the gate; a failing one gets help.

Help means that the sites int8 harms most go back to fp32, more of them at each pass, within a fixed budget.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from layers.artifact import AS_SERVED, INSTRUCTION_SETS, InstructionSet, Variant, Verdict
from layers.compiler.device_variants import stand_in
from layers.compiler.draft import UNJUDGED, Draft
from layers.compiler.plan import Plan
from layers.compiler.variants import PREFERENCE
from layers.errors import ModelOutputError
from layers.runtime.card import card_is_present

# Shares of the sites that are kept in fp32, one pass each; and passes in all, over every variant that failed.
RESCUE_SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2)
RESCUE_PASSES = 6
# What stands for the metric of a variant whose answers hold NaN or infinity.
NOT_FINITE = "not finite"

Say = Callable[[str], None]


class Panel(Protocol):
    """Who judges: a jury of either kind of model."""

    def examine(self, draft: Draft, name: str) -> tuple[Verdict, bool]: ...


def judge(draft: Draft, plan: Plan, jury: Panel) -> Variant:
    """Write one plan and settle what the gate says of it.

    A graph for a card that is not here is judged by one that stands in for it, and written when that is done.
    """
    here = not plan.on_device or card_is_present()
    draft.add(plan if here else plan.emulated)
    heard = hear(draft, plan.name, jury)
    if here:
        return heard
    found = {"verdict": heard.verdict, "row_independent": heard.row_independent, "judged": stand_in(plan)}
    judged = draft.add(plan).model_copy(update=found)
    draft.settle(judged)
    return judged


def hear(draft: Draft, name: str, jury: Panel) -> Variant:
    """Settle what the gate says of a variant as it lies in the draft."""
    try:
        verdict, independent = jury.examine(draft, name)
    except ModelOutputError:
        verdict, independent = UNJUDGED.model_copy(update={"metric": NOT_FINITE}), False
    found = {"verdict": verdict, "row_independent": independent, "judged": AS_SERVED}
    heard = draft.variants[name].model_copy(update=found)
    draft.settle(heard)
    return heard


def try_all(
    draft: Draft, plans: Sequence[Plan], jury: Panel, harmed: Callable[[Plan], Sequence[str]] | None, say: Say
) -> None:
    """Judge every plan; while some instruction set has nothing to run, help those that failed, the first ones first.

    `harmed` names the sites a plan harms, worst first. Where another form passed whole, a mended one has not been the
    fastest: its fp32 layers cost more than that form.
    """
    for plan in plans:
        say(describe(judge(draft, plan, jury)))
    failed = [plan for plan in plans if not draft.variants[plan.name].verdict.passed]
    if harmed is None or not _unserved(draft, plans):
        return
    budget = RESCUE_PASSES
    for plan in sorted(failed, key=lambda plan: PREFERENCE.index(plan.name) if plan.name in PREFERENCE else 0):
        worst = harmed(plan)
        for helped in _helped(plan, worst):
            if budget == 0 or not _unserved(draft, plans):
                return
            budget -= 1
            variant = judge(draft, helped, jury)
            say(f"{describe(variant)}, {len(helped.kept_fp32)} of {len(worst)} layers in fp32")
            if variant.verdict.passed:
                break


def describe(variant: Variant) -> str:
    """One line: what was measured and what the gate said."""
    verdict = variant.verdict
    if verdict.metric == NOT_FINITE:
        return f"{variant.name}: answers are not finite, failed"
    doubt = "" if verdict.distinguishable or verdict.n == 0 else " (within noise)"
    return (
        f"{variant.name}: {verdict.metric} {verdict.value:.4f} against {verdict.reference:.4f}, "
        f"drop {verdict.drop:+.2%}{doubt}, {'passed' if verdict.passed else 'failed'}"
    )


def _unserved(draft: Draft, plans: Sequence[Plan]) -> set[InstructionSet]:
    """Instruction sets of the target for which none of the plans passed with rows that can be batched."""
    served: set[InstructionSet] = set()
    for plan in plans:
        variant = draft.variants[plan.name]
        if variant.verdict.passed and variant.row_independent:
            served.update(variant.exact_on)
    return set(INSTRUCTION_SETS[draft.target]) - served


def _helped(plan: Plan, harmed: Sequence[str]) -> Iterator[Plan]:
    for share in RESCUE_SHARES:
        yield plan.keeping(frozenset(harmed[: max(1, round(share * len(harmed)))]))
