"""The programs that build images from a context: docker, podman or buildah, whichever is there or was asked for."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from layers.errors import ImageError
from layers.packaging.context import TIMESTAMP, Architecture
from layers.packaging.limits import BUDGET_BYTES

EngineName = Literal["docker", "podman", "buildah"]
DEFAULT_BASE_IMAGE = "public.ecr.aws/lambda/python:3.13"
PLATFORMS: dict[Architecture, str] = {"x86_64": "linux/amd64", "arm64": "linux/arm64"}
Which = Callable[[str], str | None]
Run = Callable[[Sequence[str]], "subprocess.CompletedProcess[str]"]


@dataclass(frozen=True)
class Engine:
    """A program that builds images."""

    name: EngineName
    path: str

    def build_command(self, context: Path, tag: str, *, architecture: Architecture, base_image: str) -> list[str]:
        """The command line: one architecture, no attestations, one layer an instruction, one time for all files.

        Lambda refuses an image whose manifest is an index with attestations (docker/buildx#1533).
        """
        arguments = {"BASE_IMAGE": base_image, "BUDGET_BYTES": str(BUDGET_BYTES)}
        if self.name == "docker":
            arguments["SOURCE_DATE_EPOCH"] = str(TIMESTAMP)
            options = ["--provenance=false", "--sbom=false"]
        else:
            options = ["--format", "docker", "--layers", "--timestamp", str(TIMESTAMP)]
        if any((context / "wheels").glob("*.whl")):
            options += ["--network", "none"]
        for key, value in arguments.items():
            options += ["--build-arg", f"{key}={value}"]
        return [self.path, "build", "--platform", PLATFORMS[architecture], *options, "--tag", tag, str(context)]


def find_engine(name: str | None = None, which: Which = shutil.which, run: Run | None = None) -> Engine:
    """The engine of that name, or the first that is installed and runs. Raises ImageError naming what to install."""
    known: tuple[EngineName, ...] = get_args(EngineName)
    if name is not None and name not in known:
        raise ImageError(f"unknown engine {name!r}: expected one of {', '.join(known)}.")
    found = [Engine(candidate, path) for candidate in known if name in (None, candidate) and (path := which(candidate))]
    for engine in found:
        if _runs(engine, run or _run):
            return engine
    if found:
        raise ImageError("docker is installed and its daemon does not answer. Start it, or install podman or buildah.")
    if name:
        raise ImageError(f"engine {name!r} is not installed. Install it, or leave the engine out to take another.")
    raise ImageError(
        f"no container engine: got none of {', '.join(known)} in PATH. Install Docker (docs.docker.com), or on Debian "
        "and Ubuntu: apt-get install podman runc, or apt-get install buildah."
    )


def build_image(
    engine: Engine,
    context: Path,
    tag: str,
    *,
    architecture: Architecture,
    base_image: str = DEFAULT_BASE_IMAGE,
    run: Run | None = None,
    say: Callable[[str], None] = print,
) -> str:
    """Build the context into an image named `tag`, which is returned. Raises ImageError with the engine's last words.

    The build itself checks the budget of dependencies and code; an image over it is never made.
    """
    command = engine.build_command(context, tag, architecture=architecture, base_image=base_image)
    finished = (run or _run)(command)
    lines = [line.strip() for line in (finished.stdout + finished.stderr).splitlines() if line.strip()]
    if finished.returncode != 0:
        reasons = [line for line in lines if "error: " in line.lower()] or lines
        raise ImageError(f"{tag}: {engine.name} could not build the image: {' '.join(reasons[-8:])[-3000:]}")
    for line in lines:
        start = line.find("image: ")
        if start >= 0 and "bytes of dependencies" in line:
            say(line[start:])
    return tag


def _runs(engine: Engine, run: Run) -> bool:
    """Docker's command is often there without the daemon that does its work; the others need none."""
    if engine.name != "docker":
        return True
    return run([engine.path, "version", "--format", "{{.Server.Version}}"]).returncode == 0


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    # BuildKit hides what steps print unless it is asked for plain progress.
    environment = {**os.environ, "BUILDKIT_PROGRESS": "plain"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
