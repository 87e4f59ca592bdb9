"""Judging and choosing for a graphics card: the same for models that read and models that write."""

from __future__ import annotations

from collections.abc import Callable

from layers.artifact import INSTRUCTION_SETS, InstructionSet
from layers.compiler.calibration import Calibration
from layers.compiler.choice import choose
from layers.compiler.device_variants import device_candidates, most_rounded, overflowing, preference
from layers.compiler.draft import Draft
from layers.compiler.plan import HALF
from layers.compiler.trial import Panel, try_all

Say = Callable[[str], None]


def choose_for_card(
    draft: Draft, jury: Panel, calibrate: Callable[[], Calibration], say: Say, *, writes: bool
) -> dict[InstructionSet, str]:
    """Try every candidate; where one fails, say which layers float16 cannot hold, or keep those it harms in fp32.

    Not timed: the order of tuning/cuda.toml decides, and the manifest has no latencies.
    """
    plans = device_candidates(draft.spec, writes=writes)
    try_all(draft, plans, jury, None, say)
    failed = [plan for plan in plans if not draft.variants[plan.name].verdict.passed]
    if failed:
        calibration = calibrate()
        beyond = overflowing(calibration)
        for plan in failed:
            if beyond and plan.numbers == HALF:
                draft.settle(draft.variants[plan.name].model_copy(update={"overflows": beyond}))
                say(f"{plan.name}: values beyond float16 reach {len(beyond)} layers: {', '.join(beyond)}")
        helpless = [plan for plan in failed if not (beyond and plan.numbers == HALF)]
        if len(failed) == len(plans):
            try_all(draft, helpless, jury, lambda plan: most_rounded(calibration, plan.numbers), say)
    order = preference(writes=writes)
    say("latencies: not measured; the order is that of layers/compiler/tuning/cuda.toml")
    return choose(draft.spec, draft.variants.values(), INSTRUCTION_SETS["cuda"], "", order)
