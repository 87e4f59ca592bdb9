"""The build context: a directory that holds everything an image is built from, and nothing else.

Both `build_artifacts.py --image` and the CDK application write one; an engine, or CDK's image asset, builds it.
Equal inputs give equal directories, so the hash that CDK takes of one names its content.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from layers.artifact import INSTRUCTION_SETS, MANIFEST, Manifest
from layers.errors import ArtifactError
from layers.packaging.limits import ARTIFACT_BYTES, refuse_oversize
from layers.packaging.requirements import PROJECT, client_requirements, runtime_requirements

Architecture = Literal["x86_64", "arm64"]
SERVED = ("layers", "functions")
# What runs on the build machine, or in functions and images of its own.
LEFT_OUT = (
    "layers/compiler",
    "layers/packaging",
    "functions/local.py",
    "functions/gpu",
    "functions/check",
    "functions/forward",
)
# Code, and what the playground page is made of.
SERVED_SUFFIXES = (".py", ".html", ".css", ".js", ".json")
DOCKERFILE = "functions/Dockerfile"
TIMESTAMP = 0


def write_build_context(
    artifacts: Sequence[Path],
    directory: Path,
    *,
    architecture: Architecture,
    project: Path = PROJECT,
    wheels: Sequence[Path] = (),
    limit_bytes: int = ARTIFACT_BYTES,
) -> Path:
    """Write (or write anew) the context of an image that serves `artifacts`; returns `directory`.

    `architecture` decides which variants go in. With `wheels` the image is built without a network; without any, the
    build installs from the package index. Raises ArtifactError for an artifact that has nothing for the architecture,
    two of one name, or more bytes of model than a Lambda image holds.
    """
    chosen = [(path, Manifest.read(path)) for path in artifacts]
    files = [_served_files(manifest, architecture) for _, manifest in chosen]
    if len({manifest.name for _, manifest in chosen}) < len(chosen) or not chosen:
        raise ArtifactError(f"an image serves artifacts of different names: got {[m.name for _, m in chosen]}")
    weights = [sum((path / name).stat().st_size for name in own) for (path, _), own in zip(chosen, files, strict=True)]
    refuse_oversize([(manifest, size) for (_, manifest), size in zip(chosen, weights, strict=True)], limit_bytes)
    if directory.exists():
        shutil.rmtree(directory)
    for (path, manifest), own in zip(chosen, files, strict=True):
        for name in own:
            _copy(path / name, directory / "artifact" / manifest.name / name)
    _copy_code(project, directory / "code")
    _copy(project / DOCKERFILE, directory / "Dockerfile")
    _copy(project / "functions/entrypoint.sh", directory / "entrypoint.sh", mode=0o755)
    _copy(project / "layers/packaging/dependency_layer.py", directory / "dependency_layer.py")
    _write_lines(directory / "requirements.txt", runtime_requirements(project))
    _write_lines(directory / "runtime-client.txt", client_requirements(project))
    # Never empty, since a COPY of nothing fails.
    _write_lines(directory / "wheels" / "list.txt", sorted(wheel.name for wheel in wheels))
    for wheel in wheels:
        _copy(wheel, directory / "wheels" / wheel.name)
    _stamp(directory)
    return directory


def _served_files(manifest: Manifest, architecture: Architecture) -> list[str]:
    """Files that this architecture's instruction sets are served from."""
    sets = [name for name in INSTRUCTION_SETS[architecture] if name in manifest.chosen]
    if not sets:
        raise ArtifactError(
            f"{manifest.name}: got an artifact for {', '.join(manifest.chosen)}, expected one for {architecture}. "
            f"Build it again with --target {architecture}."
        )
    variants = [manifest.variant_for(name) for name in sets]
    # Graphs and weights of other variants are the only files that may stay behind.
    others = {name for variant in manifest.variants for name in variant.files}
    kept = [name for name in manifest.files if name not in others]
    served = [name for variant in variants for name in variant.files]
    return sorted({MANIFEST, *kept, *served})


def _copy_code(project: Path, directory: Path) -> None:
    """The files that are served; tests, the compiler and the command line are not."""
    for folder in SERVED:
        for path in sorted((project / folder).rglob("*")):
            relative = path.relative_to(project)
            if path.suffix in SERVED_SUFFIXES and not any(relative.is_relative_to(left_out) for left_out in LEFT_OUT):
                _copy(path, directory / relative)


def _copy(source: Path, destination: Path, mode: int = 0o644) -> None:
    destination.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, destination)
    destination.chmod(mode)


def _write_lines(path: Path, lines: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    path.chmod(0o644)


def _stamp(directory: Path) -> None:
    """One time and readable modes everywhere: engines put both into layers."""
    for path in sorted(directory.rglob("*")):
        if path.is_dir():
            path.chmod(0o755)
        os.utime(path, (TIMESTAMP, TIMESTAMP))
