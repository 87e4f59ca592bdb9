"""What the other headline parts need, made where it is missing: checkpoints, artifacts, the peers' models.

A part of its own, so that what the first `make bench` of a machine spends on it is told apart from measuring.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any

from benchmarks import encoder_models, generator_models, generators
from benchmarks.example_artifacts import WORK
from benchmarks.ledger_workloads import prepare, workloads
from benchmarks.tables import header
from layers.artifact import Manifest

ARTIFACTS = WORK / "artifacts"


def run(say: Callable[..., None]) -> dict[str, Any]:
    """Seconds of each model, whether there was an artifact before, and the variants that were chosen."""
    makers: dict[str, list[Callable[[], object]]] = {encoder_models.NAME: [partial(encoder_models.prepare, say)]}
    for workload in workloads().values():
        makers[workload.served.name] = [partial(prepare, workload, say)]
    for name in generators.MODELS:
        makers.setdefault(name, []).append(partial(generator_models.prepare, name, say))
    found, before = {}, {name: (ARTIFACTS / name).exists() for name in makers}
    for name, steps in makers.items():
        began = perf_counter()
        for step in steps:
            step()
        chosen = dict(Manifest.read(ARTIFACTS / name).chosen)
        found[name] = {"seconds": round(perf_counter() - began, 1), "there before": before[name], "chosen": chosen}
        say(name, found[name])
    return found


def section(measured: dict[str, Any]) -> str:
    """For docs/benchmarks.md."""
    seconds = sum(found["seconds"] for found in measured.values())
    there = [name for name, found in measured.items() if found["there before"]]
    sets = list(dict.fromkeys(each for found in measured.values() for each in found["chosen"]))
    lines = [
        "## Artifacts",
        "",
        f"What the other parts of `make bench` serve, built in {seconds / 60:.1f} minutes with the peers' models"
        + (f"; of {', '.join(there)} there was one before" if there else " from nothing")
        + ". MiniLM's is built with debian-sections'. The variant that is chosen for each instruction set is the "
        "fastest that passed the gate; the gate of random weights is a distance, or lets any drop pass.",
        "",
        header("model", ["seconds", *sets]),
    ]
    for name, found in measured.items():
        variants = " | ".join(f"`{found['chosen'].get(each, '')}`" for each in sets)
        lines.append(f"| {name} | {found['seconds']:.0f} | {variants} |")
    return "\n".join(lines)
