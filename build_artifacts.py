"""The build step's command line: `python build_artifacts.py [MODEL ...]`. No logic of its own."""

from __future__ import annotations

import os
import traceback
import warnings
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from layers.catalogue import read_catalogue, select
from layers.errors import CatalogueError, HundredfoldError, ImageError
from layers.packaging.engine import DEFAULT_BASE_IMAGE
from layers.packaging.image import Packing


class Depth(StrEnum):
    """How thoroughly operators are measured."""

    OFF = "off"
    QUICK = "quick"
    FULL = "full"


class Target(StrEnum):
    """Machines an artifact can be built for."""

    X86_64 = "x86_64"
    ARM64 = "arm64"
    CUDA = "cuda"


def main(
    models: Annotated[list[str] | None, typer.Argument(help="Models of the catalogue; all when none is named.")] = None,
    catalog: Annotated[Path, typer.Option(help="The catalogue file.")] = Path("models.toml"),
    output: Annotated[Path, typer.Option(help="Where artifacts go, one directory a model.")] = Path("build"),
    target: Annotated[Target, typer.Option(help="The machines to build for.")] = Target.X86_64,
    tune: Annotated[
        Depth, typer.Option(help="Measure operators on this machine, or take what is known of it (off).")
    ] = Depth.OFF,
    image: Annotated[bool, typer.Option(help="Also build a container image for Lambda, one a model.")] = False,
    engine: Annotated[str | None, typer.Option(help="docker, podman or buildah; the first found when absent.")] = None,
    base_image: Annotated[str, typer.Option(help="What the image stands on.")] = DEFAULT_BASE_IMAGE,
) -> None:
    """Build, quantize and judge models; exit 0 only when every one passed its gate."""
    warnings.filterwarnings("ignore", module="transformers")
    # Its advice to install torch, which a build does not need.
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    console = Console(highlight=False, width=None if Console().is_terminal else 160)
    errors = Console(stderr=True, highlight=False)
    try:
        specs = select(read_catalogue(catalog), models or [])
        packing = Packing(target.value, output, engine, base_image) if image else None
    except (CatalogueError, ImageError) as error:
        errors.print(f"error: {error}", style="red", markup=False, soft_wrap=True)
        raise typer.Exit(2) from error
    from layers.compiler.build import build  # imports onnx; errors above it should come at once
    from layers.compiler.operator_choice import Tuning
    from layers.compiler.report import table_of, trials_of

    failed = []
    for spec in specs:

        def say(line: str, name: str = spec.name) -> None:
            console.print(f"{name}: {line}", markup=False, soft_wrap=True)

        try:
            with console.status(f"{spec.name}: building"):
                built = build(spec, catalog.parent, output, target.value, say, Tuning(tune.value))
            if built.reused:
                say(f"unchanged, reusing {built.directory}")
            console.print(table_of(built.manifest))
            for part in trials_of(built.manifest):
                console.print(part)
            if packing is not None:
                say(f"image {packing.pack(built.directory, say)}")
        except HundredfoldError as error:
            errors.print(f"error: {error}", style="red", markup=False, soft_wrap=True)
            failed.append(2 if isinstance(error, CatalogueError) else 1)
        except Exception as error:  # of a library or the machine: one model's, and no reason not to build the others
            traceback.print_exception(error)
            what = f"{type(error).__name__}: {error}"
            errors.print(f"error: {spec.name}: not built: {what}", style="red", markup=False, soft_wrap=True)
            failed.append(1)
    if failed:
        raise typer.Exit(max(failed))


if __name__ == "__main__":
    typer.run(main)
