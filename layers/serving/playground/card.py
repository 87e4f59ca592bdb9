"""What the page tells of a model: its card, the gate's verdict in words, and examples to begin with."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from layers.artifact import Manifest, Variant, Verdict
from layers.errors import ArtifactError
from layers.runtime.cpu import instruction_set
from layers.runtime.predictor import Predictor
from layers.runtime.tasks import TASKS

MAX_EXAMPLES = 5
# What golden inputs are for: the model's own task. Other tasks have examples of their own.
MAX_EXAMPLE_CHARACTERS = 2000


def describe(predictor: Predictor) -> dict[str, Any]:
    """Everything the page's script needs to know of a model, as JSON can carry it."""
    manifest, variant = predictor.manifest, predictor.variant
    mask = predictor.mask_token()
    return {
        "name": manifest.name,
        "task": manifest.task,
        "tasks": list(predictor.tasks),
        "summary": f"{manifest.task}, {manifest.architecture} in {variant.precision}, on {predictor.threads} "
        f"CPU thread{'s' if predictor.threads > 1 else ''}",
        "mask_token": mask,
        "pairs": reads_pairs(predictor),
        "card": card(predictor),
        "verdict": verdict(variant.verdict, variant),
        "examples": {task: examples(task, manifest, mask) for task in predictor.tasks},
        "streams": [task for task in predictor.tasks if TASKS[task].stream is not None],
    }


def reads_pairs(predictor: Predictor) -> bool:
    """Whether a classifier was trained on two texts at a time, as far as its other tasks and its goldens tell."""
    golden_pairs = any(isinstance(golden.inputs, dict) for golden in predictor.manifest.goldens)
    return golden_pairs or not {"rerank", "zero-shot-classification"}.isdisjoint(predictor.tasks)


def card(predictor: Predictor) -> list[tuple[str, str]]:
    """Names and values, in the order they are shown."""
    manifest, variant = predictor.manifest, predictor.variant
    source = manifest.source
    rows = [
        ("Variant", variant.name),
        ("Size", megabytes(variant.bytes)),
        ("Instruction set", _instruction_set()),
        ("Architecture", manifest.architecture),
        ("Longest input", f"{manifest.limits.max_tokens:,} tokens"),
    ]
    if manifest.labels:
        rows.append(("Labels", f"{len(manifest.labels):,}"))
    if manifest.pooling:
        rows.append(("Embedding", f"{manifest.pooling.dimension:,} dimensions, {manifest.pooling.mode} pooling"))
    if variant.kept_fp32:
        rows.append(("Kept in fp32", f"{len(variant.kept_fp32):,} layers"))
    rows += [
        ("Rows", "independent of their batch" if variant.row_independent else "one text a call"),
        ("Source", source.location),
        ("Revision", source.revision[:12] if source.revision else "a local directory"),
        ("Digest", manifest.digest[:12]),
    ]
    return rows


def verdict(found: Verdict, variant: Variant) -> list[tuple[str, str]]:
    """The gate's finding as figures with words: the metric, and what was lost of it."""
    if found.n == 0:
        return [("not judged", "no gate was held"), (variant.precision, "precision")]
    if variant.precision == "fp32":
        return [(_figure(found.value), f"{found.metric} on {found.n:,} examples"), ("none", "lost: this is fp32")]
    low, high = found.interval
    change = "lost" if found.drop > 0 else "gained"
    return [
        (_figure(found.value), f"{found.metric} on {found.n:,} examples; fp32 has {_figure(found.reference)}"),
        (
            f"{abs(found.drop):.2%}",
            f"{change}; 95% interval of the drop {low:.2%} to {high:.2%}, at most {found.max_drop:.2%} allowed",
        ),
    ]


def examples(task: str, manifest: Manifest, mask: str | None) -> list[dict[str, Any]]:
    """Bodies to click: the manifest's goldens for its own task where it has them, else what suits the task."""
    own = manifest.goldens if task == manifest.task else ()
    goldens = [{"inputs": golden.inputs, "parameters": dict(golden.parameters)} for golden in own]
    short = [body for body in goldens if len(json.dumps(body)) <= MAX_EXAMPLE_CHARACTERS]
    if short:
        return short[:MAX_EXAMPLES]
    prepared: list[dict[str, Any]] = json.loads(_samples().replace("{mask}", mask or "[MASK]")).get(task, [])
    return prepared[:MAX_EXAMPLES]


def megabytes(size: int) -> str:
    """Bytes for people to read."""
    return f"{size / 1e6:,.1f} MB" if size < 1e9 else f"{size / 1e9:,.2f} GB"


def _figure(value: float) -> str:
    return f"{value:.4f}" if abs(value) < 10 else f"{value:,.2f}"


def _instruction_set() -> str:
    try:
        return instruction_set()
    except ArtifactError:
        return "none that artifacts are built for"


@cache
def _samples() -> str:
    return (files("layers.serving.playground") / "examples.json").read_text(encoding="utf-8")
