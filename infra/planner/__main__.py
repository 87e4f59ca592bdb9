"""`python -m infra.planner [MODEL]`: where each model should run, what that costs, and why nothing else was chosen."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from infra.planner.plan import plan_model
from infra.planner.prices import PriceTable
from layers.artifact import Manifest
from layers.catalogue import read_catalogue, select
from layers.errors import CatalogueError, HundredfoldError


def main(arguments: list[str]) -> int:
    """Exit status: 0 with a plan for every model, 1 when one cannot be met, 2 for a mistake in the catalogue."""
    asked = _parser().parse_args(arguments)
    try:
        specs = select(read_catalogue(asked.catalog), asked.models)
    except CatalogueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    prices = PriceTable.read()
    status = 0
    for spec in specs:
        try:
            plan = plan_model(spec, Manifest.read(asked.output / spec.name), prices)
        except HundredfoldError as error:
            print(f"error: {error}", file=sys.stderr)
            status = max(status, 2 if isinstance(error, CatalogueError) else 1)
            continue
        for option in plan.options[:8]:
            verdict = option.why_not or "chosen"
            print(f"{plan.model}  {option.name}  p95 {option.p95_ms:.1f} ms  ${option.monthly_usd:.2f}  {verdict}")
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m infra.planner", description=__doc__)
    parser.add_argument("models", nargs="*", metavar="MODEL", help="models of the catalogue; all when none is named")
    parser.add_argument("--catalog", type=Path, default=Path("models.toml"), help="the catalogue file")
    parser.add_argument("--output", type=Path, default=Path("build"), help="where the artifacts are")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
