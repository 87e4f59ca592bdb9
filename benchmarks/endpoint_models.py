"""What the endpoint serves in its benchmark, and what it is asked."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.example_artifacts import ROOT, SECTIONS
from layers.catalogue import read_catalogue
from layers.compiler.build import build

NEW_TOKENS = 32
PROMPT_TOKENS = 64
TEXTS = 500


READ: Mapping[str, int] = {}
REWRITE: Mapping[str, int] = {"max_new_tokens": NEW_TOKENS, "min_new_tokens": NEW_TOKENS}
CONTINUE: Mapping[str, int] = {**REWRITE, "truncate": PROMPT_TOKENS}


@dataclass(frozen=True)
class Served:
    """A model of the benchmark: its name, its artifact, and the parameters of a request; none where it reads."""

    name: str
    artifact: Path
    parameters: Mapping[str, int]

    @property
    def writes(self) -> bool:
        """Whether it answers with texts."""
        return bool(self.parameters)

    def bodies(self) -> list[bytes]:
        """Held-out texts, of the lengths that they have, as requests."""
        lines = (SECTIONS / "heldout.jsonl").read_text(encoding="utf-8").splitlines()[:TEXTS]
        texts = [json.loads(line)["text"] for line in lines]
        return [json.dumps({"inputs": text, "parameters": dict(self.parameters)}).encode("ascii") for text in texts]

    def endless_bodies(self) -> Iterator[bytes]:
        """The same over and over."""
        return itertools.cycle(self.bodies())


def examples(output: Path, target: str, say: Callable[..., None]) -> list[Served]:
    """The trained example models, built when they are missing."""
    catalogue = read_catalogue(ROOT / "models.toml")
    return [
        Served(name, build(catalogue[name], ROOT, output, target, say).directory, parameters)
        for name, parameters in (("debian-sections", READ), ("debian-writer", CONTINUE))
    ]
