"""What an image installs: pyproject.toml's run-time dependencies, the one place where versions are pinned."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]


def runtime_requirements(project: Path = PROJECT) -> list[str]:
    """What every image installs, sorted: one image serves all triggers, so what events need is in it."""
    table = _project_table(project)
    return sorted({*table["dependencies"], *table["optional-dependencies"].get("events", ())})


def gpu_requirements(project: Path = PROJECT) -> list[str]:
    """What an endpoint's image installs, sorted: onnxruntime with CUDA in the other's place, and a server."""
    table = _project_table(project)
    extras = table["optional-dependencies"]
    server = [each for each in extras["build"] if each.startswith("uvicorn")]
    shared = [each for each in table["dependencies"] if not each.startswith("onnxruntime=")]
    return sorted({*shared, *extras["gpu"], *server})


def client_requirements(project: Path = PROJECT) -> list[str]:
    """Lambda's runtime interface client, for bases that bring none."""
    clients: list[str] = _project_table(project)["optional-dependencies"]["image"]
    return sorted(clients)


def _project_table(project: Path) -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return table
