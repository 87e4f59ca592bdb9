"""The documentation's pages: their sections and tables; fenced blocks, and what the line above the fence says of one.

`<!-- not run: account -->` gives the reason why a block is not run; `<!-- file: mine.toml -->` says that the reader
writes it to that file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"(?:^<!-- (not run|file): ([^\n]*?) -->\n)?^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Why a command cannot run where the tests do.
REASONS = {
    "account": "needs an AWS account",
    "card": "needs a graphics card",
    "engine": "needs a container engine and a base image from a registry",
    "environment": "makes the environment that the tests themselves run in",
    "fragment": "a part of a file, to be read",
    "minutes": "takes minutes",
    "network": "asks the Hugging Face Hub",
}
RUN = ("sh", "python")
SHOWN = ("json", "mermaid", "text", "toml")


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    page: Path
    number: int
    reason: str
    file: str
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.stem}-{self.number}"


def blocks_of(page: Path) -> list[Block]:
    """Every block of a page, in order."""
    found = FENCE.findall(page.read_text(encoding="utf-8"))
    return [
        Block(page, number, said if note == "not run" else "", said if note == "file" else "", language, text)
        for number, (note, said, language, text) in enumerate(found)
    ]


def text_of(page: str) -> str:
    """A page by its path in the repository."""
    return (ROOT / page).read_text(encoding="utf-8")


def rows(section: str) -> dict[str, list[str]]:
    """Cells of every table row, by what the first cell holds between its first backticks (or all of it)."""
    cells = [
        [cell.strip() for cell in line.strip("| ").split(" | ")] for line in section.splitlines() if line[:1] == "|"
    ]
    return {(re.findall(r"`([^`]+)`", row[0]) or row)[0]: row for row in cells}


def section(page: str, heading: str) -> str:
    """The text below a heading, up to the next one of its level."""
    found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text_of(page), re.MULTILINE | re.DOTALL)
    assert found, f"{page} has no section {heading!r}"
    return found[1]
