"""The gate before a stack: only an artifact that is built, current, accurate and made for this machine is deployed.

Reads manifests and hashes files. Never opens a model.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from layers.artifact import Manifest, record_file, verify_files
from layers.catalogue import ModelSpec
from layers.errors import ArtifactError

BUILD_KEYS = ("source", "revision", "task", "precision", "gate")


@dataclass(frozen=True)
class Member:
    """A model that may be deployed: its table as it is today, and the artifact in `directory`."""

    spec: ModelSpec
    manifest: Manifest
    directory: Path


def admit(spec: ModelSpec, directory: Path, catalogue_folder: Path) -> Member:
    """The model with its artifact.

    Raises ArtifactError when it is missing, of another schema, altered, stale, failed its gate or was built for
    another machine.
    """
    manifest = Manifest.read(directory)
    rebuild = f"Build it again: python build_artifacts.py {spec.name} --target {wanted_target(spec) or manifest.target}"
    _check_current(spec, manifest, catalogue_folder, rebuild)
    _check_accuracy(manifest, rebuild)
    _check_target(spec, manifest, rebuild)
    verify_files(manifest, directory, list(manifest.files), weights_by_hash=False)
    return Member(spec, manifest, directory)


def wanted_target(spec: ModelSpec) -> str | None:
    """The machine that the table asks for by name; None leaves it to the artifact."""
    if spec.deploy.target == "gpu":
        return "cuda"
    return None if spec.deploy.architecture == "auto" else spec.deploy.architecture


def _check_current(spec: ModelSpec, manifest: Manifest, catalogue_folder: Path, rebuild: str) -> None:
    if manifest.name != spec.name:
        raise ArtifactError(f"{spec.name}: its folder holds an artifact of {manifest.name!r}. {rebuild}")
    for key in BUILD_KEYS:
        built, wanted = getattr(manifest.spec, key), getattr(spec, key)
        if built != wanted:
            raise ArtifactError(f"{spec.name}: stale artifact: built with {key} {built!r}, now {wanted!r}. {rebuild}")
    checkpoint = catalogue_folder / spec.source
    if spec.is_remote or not checkpoint.is_dir():
        return
    for name, recorded in manifest.source.files.items():
        path = checkpoint / name
        if not path.is_file() or record_file(path) != recorded:
            raise ArtifactError(f"{spec.name}: stale artifact: the checkpoint's {name} changed since. {rebuild}")


def _check_accuracy(manifest: Manifest, rebuild: str) -> None:
    for instruction_set, name in manifest.chosen.items():
        verdict = manifest.variant(name).verdict
        if not verdict.passed:
            raise ArtifactError(
                f"{manifest.name}: the variant for {instruction_set}, {name}, did not pass its gate: {verdict.metric} "
                f"fell by {verdict.drop:.4f}, expected at most {verdict.max_drop:.4f}. {rebuild}"
            )


def _check_target(spec: ModelSpec, manifest: Manifest, rebuild: str) -> None:
    wanted = wanted_target(spec)
    if wanted is not None and wanted != manifest.target:
        raise ArtifactError(f"{spec.name}: built for {manifest.target}, to be deployed on {wanted}. {rebuild}")
