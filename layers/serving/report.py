"""The gate's report as the manifest holds it: every variant that was tried, and what decided."""

from __future__ import annotations

from typing import Any

from layers.artifact import Manifest, Variant
from layers.runtime.predictor import Predictor


def gate_report(predictor: Predictor) -> dict[str, Any]:
    """What was measured of a model at its build; `serving` is the variant that answers here."""
    manifest = predictor.manifest
    return {
        "name": manifest.name,
        "task": manifest.task,
        "architecture": manifest.architecture,
        "digest": manifest.digest,
        "source": manifest.source.location,
        "revision": manifest.source.revision,
        "precision_asked": manifest.spec.precision,
        "target": manifest.target,
        "parity": manifest.parity,
        "serving": predictor.variant.name,
        "chosen": dict(manifest.chosen),
        "variants": [_variant(manifest, variant) for variant in manifest.variants],
        "unused_tensors": list(manifest.unused_tensors),
        "versions": dict(manifest.versions),
    }


def _variant(manifest: Manifest, variant: Variant) -> dict[str, Any]:
    chosen_for = [name for name, chosen in manifest.chosen.items() if chosen == variant.name]
    return {**variant.model_dump(mode="json"), "shipped": variant.file is not None, "chosen_for": chosen_for}
