"""Names of the tensors that transformers saves for each family; recipes read checkpoints by them."""

from __future__ import annotations

import tempfile
from pathlib import Path

from safetensors import safe_open

from tests.compiler.checkpoints import FAMILIES as ENCODERS
from tests.compiler.checkpoints import Case, write_checkpoint
from tests.compiler.generators import SIZES as WRITERS
from tests.compiler.generators import Writer, write_generator


def names_of_families(only: str = "") -> dict[str, list[str]]:
    """Tensor names by family (one, or all), of the tiny checkpoints that the parity tests are made with."""
    found = {}
    with tempfile.TemporaryDirectory() as scratch:
        for family in [family for family in ENCODERS if only in ("", family)]:
            found[family] = _names(write_checkpoint(Case(family, "encoder"), Path(scratch) / family))
        for family in [family for family in WRITERS if only in ("", family)]:
            found[family] = _names(write_generator(Writer(family), Path(scratch) / family))
    return found


def _names(directory: Path) -> list[str]:
    with safe_open(directory / "model.safetensors", framework="numpy") as opened:
        return sorted(opened.keys())
