"""What the project uses of a library, read from its sources, and whether an environment has it.

Names are followed from imports (`import onnxruntime as ort`, then `ort.SessionOptions`). What is called on objects
cannot be followed so; of every class that is used, each public member counts whose name appears in the sources.
"""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("layers", "functions", "tests/compiler", "tests/runtime")
ABSENT = "absent"
UNSTATED = "no signature"


@dataclass
class Uses:
    """Dotted names of libraries, the keywords that each is called with, and every attribute that is read anywhere."""

    keywords: dict[str, set[str]] = field(default_factory=dict)
    attributes: set[str] = field(default_factory=set)


def uses_of(libraries: tuple[str, ...], folders: tuple[str, ...] = SOURCES, root: Path = ROOT) -> Uses:
    """Read the Python sources below `folders`."""
    uses = Uses()
    for path in sorted(path for folder in folders for path in (root / folder).glob("**/*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = dict(_imported(tree, libraries))
        for dotted in names.values():
            uses.keywords.setdefault(dotted, set())
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute):
                uses.attributes.add(node.attr)
                if (read := _dotted(node, names)) is not None:
                    uses.keywords.setdefault(read, set())
            elif isinstance(node, ast.Call) and (called := _dotted(node.func, names)) is not None:
                uses.keywords.setdefault(called, set()).update(word.arg for word in node.keywords if word.arg)
    return uses


def describe(uses: Uses) -> dict[str, str]:
    """Signature of every name and member in this environment, or ABSENT, or which keywords it no longer takes."""
    found: dict[str, str] = {}
    for dotted, keywords in sorted(uses.keywords.items()):
        thing = resolve(dotted)
        found[dotted] = ABSENT if thing is None else _signature(thing, keywords)
        if inspect.isclass(thing):
            for name in sorted(uses.attributes & {name for name in dir(thing) if not name.startswith("_")}):
                found[f"{dotted}.{name}"] = _signature(inspect.getattr_static(thing, name), set())
    return found


def resolve(dotted: str) -> Any:
    """The module, class, function or value of that name; None where there is none."""
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        try:
            thing: Any = importlib.import_module(".".join(parts[:length]))
        except ImportError:
            continue
        for name in parts[length:]:
            thing = getattr(thing, name, None)
            if thing is None:
                return None
        return thing
    return None


def _imported(tree: ast.Module, libraries: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] in libraries:
                    yield (alias.asname, alias.name) if alias.asname else (alias.name.split(".")[0],) * 2
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in libraries:
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def _dotted(node: ast.expr, names: dict[str, str]) -> str | None:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.insert(0, node.attr)
        node = node.value
    if isinstance(node, ast.Name) and node.id in names:
        return ".".join([names[node.id], *parts])
    return None


def _signature(thing: Any, keywords: set[str]) -> str:
    try:
        signature = inspect.signature(thing)
    except (TypeError, ValueError):
        return UNSTATED
    kinds = {parameter.kind for parameter in signature.parameters.values()}
    refused = set() if inspect.Parameter.VAR_KEYWORD in kinds else keywords - set(signature.parameters)
    if refused:
        return f"{ABSENT}: takes no {', '.join(sorted(refused))}"
    return str(signature.replace(return_annotation=inspect.Signature.empty))
