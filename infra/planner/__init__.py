"""Where a model should run and what that costs: `plan_model(spec, manifest, PriceTable.read())`."""

from infra.planner.option import Cost, Option
from infra.planner.plan import Plan, plan_model
from infra.planner.prices import PriceTable
from infra.planner.refusal import UnmetDemandError

__all__ = ["Cost", "Option", "Plan", "PriceTable", "UnmetDemandError", "plan_model"]
