"""What the endpoint serves in its benchmark, and what it is asked."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.example_artifacts import ROOT, SECTIONS
from layers.catalogue import read_catalogue
from layers.compiler.build import build

NEW_TOKENS = 32
PROMPT_TOKENS = 64
TEXTS = 500


@dataclass(frozen=True)
class Served:
    """A model of the benchmark: its name, its artifact, and whether it writes."""

    name: str
    artifact: Path
    writes: bool

    def bodies(self) -> list[bytes]:
        """Held-out texts, of the lengths that they have, as requests."""
        lines = (SECTIONS / "heldout.jsonl").read_text(encoding="utf-8").splitlines()[:TEXTS]
        written = {"max_new_tokens": NEW_TOKENS, "min_new_tokens": NEW_TOKENS, "truncate": PROMPT_TOKENS}
        parameters = written if self.writes else {}
        texts = [json.loads(line)["text"] for line in lines]
        return [json.dumps({"inputs": text, "parameters": parameters}).encode("ascii") for text in texts]

    def endless_bodies(self) -> Iterator[bytes]:
        """The same over and over."""
        return itertools.cycle(self.bodies())


def examples(output: Path, target: str, say: Callable[..., None]) -> list[Served]:
    """The trained example models, built when they are missing."""
    catalogue = read_catalogue(ROOT / "models.toml")
    return [
        Served(name, build(catalogue[name], ROOT, output, target, say).directory, writes)
        for name, writes in (("debian-sections", False), ("debian-writer", True))
    ]
