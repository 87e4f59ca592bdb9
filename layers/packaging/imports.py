"""Which modules of the project some modules need, however indirectly: what a zip of them has to hold."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

from layers.packaging.requirements import PROJECT

ROOTS = ("functions", "layers")


def files_needed(modules: Iterable[str], project: Path = PROJECT) -> list[Path]:
    """Their files and those of everything of ROOTS that they import, below `project`, sorted.

    Imports within functions count too: nobody can say that they are not reached. So do packages, which are run when a
    module in them is imported.
    """
    found: set[Path] = set()
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        file = _file_of(module, project)
        if file is not None and file not in found:
            found.add(file)
            waiting += [module.rpartition(".")[0], *_imports_of(project / file)]
    return sorted(found)


def _file_of(module: str, project: Path) -> Path | None:
    """None for what is no module of the project, such as a name that was imported from one."""
    if module.partition(".")[0] not in ROOTS:
        return None
    path = Path(*module.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if (project / file).is_file()), None)


def _imports_of(file: Path) -> Iterator[str]:
    """Every module that is named, and every name that may be one."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
