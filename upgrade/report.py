"""The findings as a table for people and as JSON for machines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from upgrade.comparison import Finding
from upgrade.environment import Environment

SHOWN = 60
STYLES = {"same": "", "changed": "yellow", "worse": "red"}


def print_table(findings: Sequence[Finding], before: Environment, after: Environment) -> None:
    """Every finding, in the order of its area; what is worse is in the last column."""
    console = Console(highlight=False, width=None if Console().is_terminal else 200)
    table = Table("", "", *(_title(each) for each in (before, after)), "", title="upgrade-check")
    for finding in findings:
        cells = [finding.area, finding.subject, finding.before, finding.after, finding.judgement]
        table.add_row(*(_short(cell) for cell in cells), style=STYLES[finding.judgement])
    console.print(table, markup=False)
    counts = {name: sum(finding.judgement == name for finding in findings) for name in STYLES}
    console.print(", ".join(f"{count} {name}" for name, count in counts.items()))


def write_json(
    path: Path, findings: Sequence[Finding], before: Environment, after: Environment, machine: dict[str, Any]
) -> None:
    """The findings whole, with the versions of both environments and the machine."""
    content = {
        **machine,
        "before": before.versions,
        "after": after.versions,
        "green": not any(finding.judgement == "worse" for finding in findings),
        "findings": [asdict(finding) for finding in findings],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _title(environment: Environment) -> str:
    return "\n".join([environment.name, *(f"{name} {version}" for name, version in environment.versions.items())])


def _short(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."
