"""What every figure depends on, written beside it."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from layers.compiler.decisions import processor_kind

PACKAGES = ("onnxruntime", "onnxruntime-gpu", "torch", "transformers", "tokenizers")


def machine() -> dict[str, Any]:
    """What the figures depend on: processor, cores, versions, commit, date."""
    info = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    model = next((line.split(":", 1)[1].strip() for line in info.splitlines() if line.startswith("model name")), "")
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "processor": f"{model or platform.processor()} ({processor_kind()})",
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {name: found for name in PACKAGES if (found := _installed(name)) is not None},
        "commit": commit.stdout.strip(),
    }


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
