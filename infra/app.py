"""The CDK application: `npx cdk deploy MODEL`, `npx cdk deploy --all`, `-c stage=prod`.

Reads the catalogue, the stages and the built artifacts. Needs no credentials, no network and no container engine;
publishing an image needs an engine, and `wheels` the index where the folder lacks some. Context keys: stage, catalog,
output, stages, base_image, wheels, nag.
"""

from __future__ import annotations

import sys
from pathlib import Path

from aws_cdk import App, Validations

from infra.code import Building
from infra.deployment import Deployment, deployments
from infra.model_stack import ModelStack
from infra.planner.prices import PriceTable
from infra.stages import Stage, read_stage
from layers.catalogue import read_catalogue
from layers.errors import HundredfoldError
from layers.packaging.engine import DEFAULT_BASE_IMAGE


def compose(app: App) -> list[ModelStack]:
    """Every deployment's stack. Raises CatalogueError for a catalogue or a stage that cannot be read."""
    catalogue_file = Path(_context(app, "catalog", "models.toml"))
    stage = read_stage(Path(_context(app, "stages", "stages.toml")), _context(app, "stage", "dev"))
    wheels = _context(app, "wheels", "")
    building = Building(_context(app, "base_image", DEFAULT_BASE_IMAGE), Path(wheels) if wheels else None)
    prices = PriceTable.read()
    if _context(app, "nag", ""):
        _add_nag(app)
    return [
        _stack(app, deployment, stage, prices, building)
        for deployment in deployments(
            read_catalogue(catalogue_file),
            catalogue_file.resolve().parent,
            Path(_context(app, "output", "build")),
            stage,
            prices,
            building,
        )
    ]


def _stack(app: App, deployment: Deployment, stage: Stage, prices: PriceTable, building: Building) -> ModelStack:
    """What is found wrong only while its image is put together is this stack's problem, too, and no other's."""
    try:
        return ModelStack(app, deployment=deployment, stage=stage, prices=prices, building=building)
    except HundredfoldError as error:
        app.node.try_remove_child(deployment.name)
        refused = Deployment.refused(deployment.name, str(error))
        return ModelStack(app, deployment=refused, stage=stage, prices=prices, building=building)


def _context(app: App, key: str, otherwise: str) -> str:
    value = app.node.try_get_context(key)
    return otherwise if value is None else str(value)


def _add_nag(app: App) -> None:
    """The rule packs that every stack is checked with; a finding without a reason fails the synthesis."""
    from cdk_nag import AwsSolutionsChecks, ServerlessChecks

    Validations.of(app).add_plugins(AwsSolutionsChecks(app), ServerlessChecks(app))


def main(app: App) -> int:
    """Synthesize for the CDK's command line. Exit status 2: what was written in a file cannot be deployed."""
    try:
        compose(app)
    except HundredfoldError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    app.synth()
    return 0


if __name__ == "__main__":
    sys.exit(main(App()))
