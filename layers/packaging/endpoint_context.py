"""The build context of an endpoint's image: the Dockerfile, the code, the artifact, and wheels where there are some."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from layers.packaging.requirements import PROJECT, gpu_requirements

DOCKERFILE = PROJECT / "functions" / "gpu" / "Dockerfile"
# Of Ubuntu 24.04, which the Dockerfile's base is.
PYTHON = "3.12"
# What makes the image an endpoint of one model: its artifact, and the command that SageMaker gives `serve` to.
ENDPOINT_LINES = """
ENV ARTIFACT_DIR=/opt/artifact
COPY artifact/ /opt/artifact/
ENTRYPOINT ["python3", "-m", "functions.gpu"]
"""


def write_endpoint_context(
    artifact: Path, name: str, directory: Path, *, wheels: Sequence[Path] = (), dockerfile: Path = DOCKERFILE
) -> Path:
    """Write the context of an image that serves `artifact` under `name` into an empty `directory`, and return that.

    With `wheels` the packages are installed without an index; without any, the build asks its own.
    """
    for folder in ("functions", "layers"):
        shutil.copytree(PROJECT / folder, directory / "code" / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(artifact, directory / "artifact" / name)
    (directory / "wheels").mkdir()
    # Never empty: what is mounted has to be there.
    (directory / "wheels" / "list.txt").write_text("".join(f"{wheel.name}\n" for wheel in wheels), encoding="utf-8")
    for wheel in wheels:
        shutil.copy2(wheel, directory / "wheels" / wheel.name)
    (directory / "requirements.txt").write_text("\n".join(gpu_requirements()) + "\n", encoding="utf-8")
    (directory / "Dockerfile").write_text(dockerfile.read_text(encoding="utf-8") + ENDPOINT_LINES, encoding="utf-8")
    return directory
