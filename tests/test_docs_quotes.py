"""What the documentation quotes of the code: fragments of sources, and messages."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from layers.catalogue import read_catalogue
from layers.errors import CatalogueError
from tests.pages import ROOT, blocks_of, rows, section

SOURCES = ("layers/compiler/architectures", "layers/runtime/tasks")


@pytest.mark.parametrize("page", ["docs/adding-an-architecture.md", "docs/adding-a-task.md"])
def test_a_fragment_is_what_the_code_says(page: str) -> None:
    said = {
        line.strip()
        for folder in SOURCES
        for path in (ROOT / folder).glob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
    }
    for block in blocks_of(ROOT / page):
        for line in block.text.splitlines() if block.language == "python" else ():
            assert line.strip() in said or "..." in line, f"{block}: {line.strip()!r} is nowhere"


def test_the_mistake_that_is_shown_is_told_so(tmp_path: Path) -> None:
    path = tmp_path / "models.toml"
    path.write_text('[a]\nsource = "x"\ntsk = "text-classification"\n', encoding="utf-8")
    [shown] = re.findall(r"^error: (.*?)^```", section("docs/models-toml.md", "Mistakes"), re.MULTILINE | re.DOTALL)
    with pytest.raises(CatalogueError) as refused:
        read_catalogue(path)
    assert str(refused.value).replace(f"{tmp_path}/", "") == " ".join(shown.split())


TABLES_OF_MESSAGES = (("docs/adding-a-model.md", "Refusals"), ("docs/troubleshooting.md", "Errors"))


@functools.cache
def said_by_the_code() -> str:
    """Every text in the sources, with `...` for what is filled in."""
    texts = []
    for path in [path for folder in ("layers", "functions") for path in sorted((ROOT / folder).rglob("*.py"))]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else "..." for part in node.values]
                texts.append("".join(str(part) for part in parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    return "\n".join(texts)


def messages() -> Iterator[Any]:
    for page, heading in TABLES_OF_MESSAGES:
        for row in rows(section(page, heading)).values():
            for message in re.findall(r"`([^`]+)`", row[0]):
                yield pytest.param(message, id=message[:50])


@pytest.mark.parametrize("message", list(messages()))
def test_a_message_in_the_documentation_is_one(message: str) -> None:
    for part in message.split("..."):
        assert part.strip() in said_by_the_code(), f"no source says {part.strip()!r}"
