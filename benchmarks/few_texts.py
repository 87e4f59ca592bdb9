"""Data for gates that have nothing to judge: few texts, as random weights are right about none, and judging is slow."""

from __future__ import annotations

from benchmarks.example_artifacts import WORK
from layers.compiler.examples import SAMPLES

# A third calibrates, the others judge.
FEW = 24
FEW_TEXTS = WORK / "few-texts.jsonl"


def write_few_texts() -> None:
    """The first of the sample that ships with the compiler."""
    FEW_TEXTS.parent.mkdir(parents=True, exist_ok=True)
    lines = (SAMPLES / "texts.jsonl").read_text(encoding="utf-8").splitlines()[:FEW]
    FEW_TEXTS.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
