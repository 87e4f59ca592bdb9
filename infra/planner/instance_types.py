"""Instance types that the planner can say nothing about, and why."""

from __future__ import annotations

from infra.planner.gpu_estimate import CARDS, fits, fp16_bytes
from infra.planner.workload import Workload

GIBIBYTE = 1 << 30
# `infra.sizing` asks no plan where nothing is left to choose.
WITHOUT_A_PLAN = '. With target = "gpu" and a mode in the table it is deployed without a plan'


def why_unplanned(work: Workload) -> str | None:
    """Why the table's instance type, or any where it names none, cannot be planned with; None where one can."""
    deploy, instances = work.spec.deploy, work.prices.instances
    cards = {name: CARDS[price.gpu] for name, price in instances.items() if price.gpu in CARDS}
    able = [name for name, card in cards.items() if fits(work.manifest, card)]
    kind, weights = deploy.instance_type, f"16-bit weights of {fp16_bytes(work.manifest) / GIBIBYTE:.1f} GiB"
    if kind in able or deploy.target == "lambda":
        return None
    if kind == "auto":
        largest = max(card.memory_gib for card in CARDS.values())
        return None if able else f"{weights} take more than half of any card that the planner knows, {largest} GiB"
    more = ""
    if kind in cards:
        reason = f"{weights} take more than half of its card, {cards[kind].memory_gib} GiB"
    elif kind in instances and instances[kind].gpu is None:
        reason = f"{kind} has no GPU"
    elif kind in instances:
        reason, more = f"nothing is known of the speed of its card, {instances[kind].gpu}", WITHOUT_A_PLAN
    else:
        reason, more = f"{kind} is not in the price table", WITHOUT_A_PLAN
    expected = f"expected one of {', '.join(able)}" if able else "the planner knows none that has more"
    return f"[{work.spec.name}.deploy] instance_type: {reason}; {expected}{more}"
