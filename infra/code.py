"""What functions are made of: a model's image, or a zip of one folder of `functions/`.

CDK copies and hashes what it is given while a function is defined, so the folders here are temporary.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from aws_cdk import aws_ecr_assets as ecr_assets
from aws_cdk import aws_lambda as lambda_

from infra.admission import Member
from layers.packaging.context import Architecture, write_build_context
from layers.packaging.endpoint_context import DOCKERFILE, PYTHON, write_endpoint_context
from layers.packaging.engine import DEFAULT_BASE_IMAGE
from layers.packaging.imports import files_needed
from layers.packaging.requirements import client_requirements, gpu_requirements, runtime_requirements
from layers.packaging.wheels import fetch_wheels, python_version

PROJECT = Path(__file__).resolve().parents[1]
PLATFORMS = {"x86_64": ecr_assets.Platform.LINUX_AMD64, "arm64": ecr_assets.Platform.LINUX_ARM64}


@dataclass(frozen=True)
class Building:
    """What images are built on and from: `wheels` is the folder that a functions' build without a network takes."""

    base_image: str = DEFAULT_BASE_IMAGE
    wheels: Path | None = None
    gpu_dockerfile: Path = DOCKERFILE

    def build_args(self) -> dict[str, str]:
        """As the Dockerfile takes them; none for its own base, so that its hash stays what it is."""
        return {} if self.base_image == DEFAULT_BASE_IMAGE else {"BASE_IMAGE": self.base_image}

    def fetch_wheels(self, architecture: Architecture) -> list[Path]:
        """Those in the folder, fetched there when they are missing. Raises ImageError as `fetch_wheels`."""
        if self.wheels is None:
            return []
        wanted = [*runtime_requirements(), *client_requirements()]
        return fetch_wheels(wanted, self.wheels, architecture=architecture, python=python_version(self.base_image))

    def fetch_gpu_wheels(self) -> list[Path]:
        """As `fetch_wheels`, for an endpoint's image."""
        if self.wheels is None:
            return []
        return fetch_wheels(gpu_requirements(), self.wheels, architecture="x86_64", python=PYTHON)


@dataclass(frozen=True)
class Zip:
    """A folder of the standard library's Python, and the handler in it."""

    folder: Path
    handler: str


@dataclass(frozen=True)
class Image:
    """A build context, and the command that its image is run with."""

    context: Path
    architecture: Architecture
    command: str
    build_args: Mapping[str, str]

    def code(self) -> lambda_.DockerImageCode:
        """As CDK takes it. Images of one context are one asset, whatever their commands."""
        return lambda_.DockerImageCode.from_image_asset(
            str(self.context),
            cmd=[self.command],
            platform=PLATFORMS[self.architecture],
            build_args=dict(self.build_args),
        )


@contextmanager
def zip_of(package: str, files: Mapping[str, str] | None = None) -> Iterator[Zip]:
    """`functions/PACKAGE` with further files beside its handler, and whatever of the project its modules import."""
    with tempfile.TemporaryDirectory(prefix=f"{package}-") as name:
        root = Path(name)
        own = [path.stem for path in (PROJECT / "functions" / package).glob("*.py")]
        for path in files_needed([f"functions.{package}", *(f"functions.{package}.{module}" for module in own)]):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes((PROJECT / path).read_bytes())
        for file, content in (files or {}).items():
            written = root / "functions" / package / file
            written.write_text(content, encoding="utf-8")
            # Modes go into the zip, and Lambda runs what is a script.
            written.chmod(0o755 if content.startswith("#!") else 0o644)
        yield Zip(root, f"functions.{package}.handler.handler")


@contextmanager
def image_context(members: Sequence[Member], architecture: Architecture, building: Building) -> Iterator[Path]:
    """The build context of one image that carries these artifacts."""
    wheels = building.fetch_wheels(architecture)
    with tempfile.TemporaryDirectory(prefix="image-") as name:
        artifacts = [member.directory for member in members]
        yield write_build_context(artifacts, Path(name), architecture=architecture, wheels=wheels)


@contextmanager
def gpu_context(member: Member, building: Building) -> Iterator[Path]:
    """The build context of the endpoint's image: the GPU's Dockerfile, and the artifact."""
    with tempfile.TemporaryDirectory(prefix="gpu-image-") as name:
        yield write_endpoint_context(
            member.directory,
            member.manifest.name,
            Path(name),
            wheels=building.fetch_gpu_wheels(),
            dockerfile=building.gpu_dockerfile,
        )
