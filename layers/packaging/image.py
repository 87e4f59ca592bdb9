"""Built models as container images: context, wheels and engine in one call."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from layers.artifact import Manifest
from layers.errors import ImageError
from layers.packaging.context import Architecture, write_build_context
from layers.packaging.engine import DEFAULT_BASE_IMAGE, PLATFORMS, build_image, find_engine
from layers.packaging.requirements import client_requirements, runtime_requirements
from layers.packaging.wheels import fetch_wheels, python_version


class Packing:
    """How images are built: for which machines, with which engine, on which base. Found out before any model is."""

    def __init__(
        self, target: str, output: Path, engine: str | None = None, base_image: str = DEFAULT_BASE_IMAGE
    ) -> None:
        """`output` keeps the wheels. Raises ImageError: no engine, no Python version in the base's tag, not a CPU."""
        architectures: dict[str, Architecture] = {name: name for name in PLATFORMS}
        if target not in architectures:
            raise ImageError(
                f"no Lambda image for target {target!r}: expected {' or '.join(architectures)}. Lambda has no GPU."
            )
        self.architecture = architectures[target]
        self.base_image = base_image
        self._python = python_version(base_image)
        self._engine = find_engine(engine)
        self._wheels = output / ".wheels"

    def pack(self, artifact: Path, say: Callable[[str], None] = print, tag: str | None = None) -> str:
        """Build the image that serves an artifact; returns its name, MODEL:DIGEST-ARCHITECTURE unless one is given.

        Raises ImageError (no wheel, over the budget, a failed build) and ArtifactError as `write_build_context`.
        """
        manifest = Manifest.read(artifact)
        tag = tag or f"{manifest.name}:{manifest.digest[:12]}-{self.architecture}"
        wheels = fetch_wheels(
            [*runtime_requirements(), *client_requirements()],
            self._wheels,
            architecture=self.architecture,
            python=self._python,
        )
        with tempfile.TemporaryDirectory(prefix="hundredfold-image-") as folder:
            context = Path(folder) / "context"
            write_build_context([artifact], context, architecture=self.architecture, wheels=wheels)
            say(f"building {tag} with {self._engine.name} on {self.base_image}")
            return build_image(
                self._engine, context, tag, architecture=self.architecture, base_image=self.base_image, say=say
            )
