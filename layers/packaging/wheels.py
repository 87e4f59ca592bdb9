"""Wheels for an image, fetched on the build machine with its own pip settings.

The image is then built without a network: no index address and no credential of one can end up in a layer, and wheels
of another architecture are fetched like any.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from layers.errors import ImageError
from layers.packaging.context import Architecture

# Newest first; Amazon Linux 2023 has glibc 2.34.
PLATFORMS = ("manylinux_2_34", "manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014")
MACHINES: dict[Architecture, str] = {"x86_64": "x86_64", "arm64": "aarch64"}
Run = Callable[[Sequence[str]], "subprocess.CompletedProcess[str]"]


def python_version(base_image: str) -> str:
    """The Python version that a base image's tag begins with, such as 3.13, with a digest behind the tag or without.

    Raises ImageError for another tag, for none, and for a digest that is not whole.
    """
    named, at, digest = base_image.partition("@")
    tagged = re.search(r":([^:/]+)$", named)
    version = re.match(r"3\.\d+", tagged[1]) if tagged else None
    if at and not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
        raise ImageError(f"base image {base_image!r}: expected @sha256: and 64 hexadecimal digits behind the tag.")
    if at and tagged is None:
        raise ImageError(
            f"base image {base_image!r}: a digest does not say its Python version, which the wheels are chosen by. "
            f"Put a tag that begins with it before the digest, as in {named}:3.13@{digest}."
        )
    if version is None:
        raise ImageError(
            f"base image {base_image!r}: expected a tag that begins with its Python version, as in "
            "public.ecr.aws/lambda/python:3.13, which a digest may follow. Give the image such a tag."
        )
    return version[0]


def fetch_wheels(
    requirements: Sequence[str], folder: Path, *, architecture: Architecture, python: str, run: Run | None = None
) -> list[Path]:
    """Every wheel that `requirements` need, into a folder named by them; what is there already is not resolved again.

    Raises ImageError with pip's own words when one has no wheel for the architecture.
    """
    name = hashlib.sha256("\n".join([architecture, python, *sorted(requirements)]).encode()).hexdigest()[:16]
    directory = folder / f"{architecture}-{python}-{name}"
    done = directory / ".complete"
    if not done.exists():
        directory.mkdir(parents=True, exist_ok=True)
        platforms = [f"--platform={name}_{MACHINES[architecture]}" for name in PLATFORMS]
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        command += ["--only-binary=:all:", f"--python-version={python}", *platforms]
        finished = (run or _run)([*command, "--dest", str(directory), *sorted(requirements)])
        if finished.returncode != 0:
            raise ImageError(
                f"wheels for {architecture}, Python {python}: pip could not fetch them: "
                f"{finished.stderr.strip()[-2000:]}"
            )
        done.touch()
    return sorted(directory.glob("*.whl"))


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)
