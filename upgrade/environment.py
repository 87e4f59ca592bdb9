"""The throwaway environment: the project's own, with other releases of some packages laid over it.

Everything else stays as pinned, torch included, so that what differs is what was asked for. The new environment's
packages come first on the path and those of the project's after them (a `.pth` file); pip counts both as installed,
and installs what is asked for with whatever that needs and the project's environment does not satisfy.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

LIBRARIES = ("transformers", "tokenizers", "onnxruntime")
VERSIONS = """
import json, sys
from importlib.metadata import version
print(json.dumps({name: version(name) for name in sys.argv[1:]}))
"""


class InstallError(Exception):
    """pip could not install the releases; the message is its own."""


@dataclass(frozen=True)
class Environment:
    """An interpreter, and the releases it runs the project with: LIBRARIES first, then what else was installed."""

    name: str
    python: Path
    versions: dict[str, str]


def pinned() -> Environment:
    """The environment that this runs in."""
    return Environment("pinned", Path(sys.executable), {name: version(name) for name in LIBRARIES})


@contextmanager
def overlaid(requirements: Sequence[str]) -> Iterator[Environment]:
    """Make an environment with `requirements` over this one's packages; gone afterwards.

    None asks for the newest releases of LIBRARIES that fit together. Raises InstallError with pip's last lines.
    """
    folder = Path(tempfile.mkdtemp(prefix="hundredfold-upgrade-"))
    try:
        yield _make(folder, requirements or LIBRARIES)
    finally:
        shutil.rmtree(folder)


def _make(folder: Path, requirements: Sequence[str]) -> Environment:
    own = sysconfig.get_paths()["purelib"]
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    purelib = sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)})
    (Path(purelib) / "project.pth").write_text(f"{own}\n", encoding="utf-8")
    command = [str(python), "-m", "pip", "install", "--upgrade", "--no-warn-conflicts", "--disable-pip-version-check"]
    done = subprocess.run([*command, *requirements], capture_output=True, text=True, check=False)
    if done.returncode:
        raise InstallError("\n".join(done.stderr.strip().splitlines()[-5:]))
    installed = {path.name.split("-")[0].replace("_", "-") for path in Path(purelib).glob("*.dist-info")}
    names = [*LIBRARIES, *sorted(installed - set(LIBRARIES))]
    listed = subprocess.run([python, "-c", VERSIONS, *names], capture_output=True, text=True, check=True)
    return Environment("candidate", python, json.loads(listed.stdout))
