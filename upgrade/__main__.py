"""`make upgrade-check`: whether the project may move to other releases of the libraries it stands on.

Observes the models of a catalogue (the examples), the parity tests and the API in this environment and in a throwaway
one with the newest (or the named) releases, times both side by side, prints what changed. Exit status 1 when anything
is worse.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.machine import machine
from upgrade import comparison, latency
from upgrade.environment import Environment, InstallError, overlaid, pinned
from upgrade.observe import OBSERVED
from upgrade.report import print_table, write_json

ROOT = Path(__file__).resolve().parent.parent
RUNTIME_ONLY = "candidate, pinned artifact"


@dataclass(frozen=True)
class Scope:
    """What is looked at: the models of a catalogue, one family or (empty) all, so many turns of timing."""

    catalogue: Path
    family: str
    rounds: int

    def observed(self) -> list[str]:
        """As upgrade/observe.py takes it."""
        return [str(self.catalogue), *([self.family] if self.family else [])]


def main(
    requirements: Annotated[list[str] | None, typer.Argument(help="Releases, as pip takes them; else newest.")] = None,
    output: Annotated[Path, typer.Option(help="Where artifacts and the report go.")] = Path("build/upgrade"),
    catalog: Annotated[Path, typer.Option(help="The catalogue of the models that are built.")] = Path("models.toml"),
    family: Annotated[str, typer.Option(help="Parity tests and tensors of this family alone.")] = "",
    rounds: Annotated[int, typer.Option(help="Turns of each contender of the timing.")] = latency.ROUNDS,
) -> None:
    """Compare the pinned releases with newer or named ones."""
    before = pinned()
    try:
        with overlaid(requirements or []) as after:
            _say("comparing", before.versions, "with", after.versions)
            findings = _compare(before, after, output, Scope(catalog.resolve(), family, rounds))
    except InstallError as error:
        _say(f"error: the releases could not be installed: {error}")
        raise typer.Exit(2) from error
    print_table(findings, before, after)
    write_json(output / "report.json", findings, before, after, machine())
    if any(finding.judgement == "worse" for finding in findings):
        raise typer.Exit(1)


def _compare(before: Environment, after: Environment, output: Path, scope: Scope) -> list[comparison.Finding]:
    """Observe both, then time what was built."""
    observed = {each.name: _observe(each, output / each.name, scope) for each in (before, after)}
    findings = list(comparison.compare(observed[before.name], observed[after.name]))
    built = [name for name, model in observed[before.name]["models"].items() if "error" not in model]
    contenders = {before.name: (before, output / before.name), RUNTIME_ONLY: (after, output / before.name)}
    if all("error" not in observed[after.name]["models"][name] for name in built):
        contenders[after.name] = (after, output / after.name)
    latencies = latency.compare(contenders, scope.catalogue, built, _say, scope.rounds)
    return [*findings, *comparison.compare_latencies(latencies, before.name)]


def _observe(environment: Environment, folder: Path, scope: Scope) -> dict[str, Any]:
    # Digests know neither transformers nor tokenizers: nothing of another release may be reused.
    shutil.rmtree(folder, ignore_errors=True)
    _say(f"== {environment.name}")
    variables = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    command = [str(environment.python), "-m", "upgrade.observe", str(folder.resolve()), *scope.observed()]
    done = subprocess.run(command, cwd=ROOT, env=variables, stdout=subprocess.DEVNULL, check=False)
    if done.returncode:
        _say(f"error: {environment.name}: the project does not run; its last words are above")
        raise typer.Exit(1)
    observed: dict[str, Any] = json.loads((folder / OBSERVED).read_text(encoding="utf-8"))
    return observed


def _say(*words: Any) -> None:
    print(*words, file=sys.stderr, flush=True)


if __name__ == "__main__":
    typer.run(main)
