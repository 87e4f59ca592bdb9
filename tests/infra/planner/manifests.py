"""Manifests and specs as a build would leave them, with latencies that make arithmetic easy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from layers.artifact import FileRecord, InstructionSet, Limits, Manifest, Source, Variant, Verdict
from layers.catalogue import ModelSpec

MEBIBYTE = 1 << 20
# threads -> tokens -> ms
ENCODER: Mapping[str, Mapping[str, float]] = {"1": {"8": 5.0, "32": 20.0, "128": 80.0}, "2": {"8": 4.0, "32": 12.0}}
X86: tuple[InstructionSet, ...] = ("x86_64-vnni", "x86_64-avx2")


def spec_of(traffic: Mapping[str, Any] | None = None, **deploy: Any) -> ModelSpec:
    """A model's table with this demand and this deployment."""
    table = {"name": "m", "source": "m", "task": "text-classification", "deploy": deploy}
    return ModelSpec.model_validate({**table, "traffic": {"tokens_in": 32, **(traffic or {})}})


def manifest_of(
    latency_ms: Mapping[str, Mapping[str, float]] = ENCODER,
    *,
    weights_mib: float = 20,
    instruction_sets: tuple[InstructionSet, ...] = X86,
    max_tokens: int = 512,
) -> Manifest:
    """An artifact whose one variant was chosen for every instruction set."""
    verdict = Verdict(
        metric="accuracy",
        value=1,
        reference=1,
        drop=0,
        max_drop=0,
        n=8,
        interval=(0, 0),
        distinguishable=False,
        passed=True,
    )
    variant = Variant(
        name="int8",
        precision="int8",
        exact_on=X86,
        bytes=int(weights_mib * MEBIBYTE),
        file="model.int8.onnx",
        weights_file="model.int8.data",
        verdict=verdict,
        row_independent=True,
        kept_fp32=(),
        latency_ms={threads: dict(row) for threads, row in latency_ms.items()},
        fused_nodes={},
    )
    return Manifest(
        schema_version=1,
        name="m",
        digest="",
        spec=spec_of(),
        source=Source(location="m", revision=None, files={}),
        architecture="bert",
        task="text-classification",
        labels=("a", "b"),
        problem_type="single_label_classification",
        limits=Limits(max_tokens=max_tokens),
        pad_token_id=0,
        pooling=None,
        inputs=("input_ids",),
        outputs=("logits",),
        target="x86_64",
        variants=(variant,),
        chosen=dict.fromkeys(instruction_sets, "int8"),
        parity="none",
        unused_tensors=(),
        goldens=(),
        files={"model.int8.data": FileRecord(sha256="0", bytes=1)},
        versions={},
    )
