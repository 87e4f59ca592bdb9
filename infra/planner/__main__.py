"""`python -m infra.planner [MODEL]`: where each model should run, what that costs, and why nothing else was chosen."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from infra.planner import report
from infra.planner.assumptions import Assumptions
from infra.planner.break_even import curves, representatives
from infra.planner.plan import Plan, candidates_of, plan_model, workload_of
from infra.planner.plot import cost_plot
from infra.planner.prices import PriceTable
from infra.planner.refusal import UnmetDemandError
from infra.reservations import DEFAULT_QUOTA, excess, reservable, reserved_by, reserved_each
from layers.artifact import Manifest
from layers.catalogue import ModelSpec, read_catalogue, select
from layers.errors import CatalogueError, HundredfoldError


def main(arguments: list[str]) -> int:
    """Exit status: 0 with a plan for every model, 1 when one cannot be met or is not built, 2 for a mistake."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    try:
        specs = select(read_catalogue(asked.catalog), asked.models)
        prices = PriceTable.read()
    except CatalogueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if asked.plot and len(specs) != 1:
        parser.error(f"--plot draws one model: got {len(specs)}, name the one to draw")
    assumed = Assumptions(reservable_concurrency=reservable(asked.account_concurrency))
    status, plans = 0, []
    for spec in specs:
        try:
            manifest = Manifest.read(asked.output / spec.name)
            plan = plan_model(spec, manifest, prices, assumed)
        except HundredfoldError as error:
            if isinstance(error, UnmetDemandError) and error.options and not asked.json:
                print(report.options_as_text(error.options), end="\n\n")
            print(f"error: {error}", file=sys.stderr)
            status = max(status, 2 if isinstance(error, CatalogueError) else 1)
            continue
        plans.append((spec, plan))
        print(report.as_json(plan, prices) if asked.json else report.as_text(plan, everything=asked.all) + "\n")
        if asked.plot:
            status = _write(asked.plot, _plot(plan, spec, manifest, prices))
    if problem := excess(_reserved(plans), asked.account_concurrency):
        print(f"error: {problem}", file=sys.stderr)
        return max(status, 1)
    return status


def _reserved(plans: Sequence[tuple[ModelSpec, Plan]]) -> dict[str, int]:
    """What the functions of each model, or of each group, reserve."""
    needed: dict[str, int] = {}
    owners: dict[str, ModelSpec] = {}
    for spec, plan in plans:
        owner = spec.deploy.group or spec.name
        needed[owner] = needed.get(owner, 0) + plan.chosen.concurrency
        owners[owner] = spec
    return {
        owner: reserved_by(spec.deploy.triggers, reserved_each(spec.deploy, needed[owner]))
        for owner, spec in owners.items()
    }


def _write(path: Path, drawing: str) -> int:
    """The folder is made, as a build makes that of its artifacts."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(drawing, encoding="utf-8")
    except OSError as error:
        reason = f"{path}: the plot cannot be written: {error.strerror}"
        print(f"error: {reason}. Name a file in a folder, as in --plot plan.svg.", file=sys.stderr)
        return 2
    return 0


def _plot(plan: Plan, spec: ModelSpec, manifest: Manifest, prices: PriceTable) -> str:
    work = workload_of(spec, manifest, prices)
    kinds = [plan.chosen.kind, *(option.kind for option in representatives(plan.options))]
    lines = curves(work, candidates_of(work), kinds)
    estimated = {option.kind for option in plan.options if option.estimated}
    named = {kind + (" (estimate)" if kind in estimated else ""): lines[kind] for kind in kinds}
    return cost_plot(f"{plan.model}: cost over demand", named, plan.demand.rate)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m infra.planner", description=__doc__)
    parser.add_argument("models", nargs="*", metavar="MODEL", help="models of the catalogue; all when none is named")
    parser.add_argument("--catalog", type=Path, default=Path("models.toml"), help="the catalogue file")
    parser.add_argument("--output", type=Path, default=Path("build"), help="where the artifacts are")
    parser.add_argument("--all", action="store_true", help="every option, not only the cheapest of each kind")
    parser.add_argument("--json", action="store_true", help="one JSON object a model")
    parser.add_argument(
        "--account-concurrency",
        type=_quota,
        default=DEFAULT_QUOTA,
        metavar="N",
        help="concurrent executions that the account may have in a region (AWS's default: %(default)s)",
    )
    parser.add_argument("--plot", type=Path, metavar="FILE.svg", help="draw cost over requests a second, for one model")
    return parser


def _quota(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a whole number of at least 1")
    return int(text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
