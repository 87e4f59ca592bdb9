"""An artifact while it is being made: a directory with a provisional manifest that the runtime can already open."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass, field
from pathlib import Path

from layers.artifact import (
    INSTRUCTION_SETS,
    SCHEMA_VERSION,
    TOKENIZER,
    FileRecord,
    Golden,
    InstructionSet,
    Limits,
    Manifest,
    ProblemType,
    Source,
    Variant,
    Verdict,
    record_file,
)
from layers.catalogue import ModelSpec
from layers.compiler.net import count_operators
from layers.compiler.plan import Plan
from layers.compiler.recipe import HEAD_OF_TASK, OUTPUT_AXES, Recipe, save
from layers.compiler.tokenizer import ConvertedTokenizer
from layers.runtime.engine import Engine

VERSIONED = ("onnxruntime", "onnx", "onnx-ir", "onnxscript", "tokenizers", "transformers", "numpy")
UNJUDGED = Verdict(
    metric="none", value=0, reference=0, drop=0, max_drop=0, n=0, interval=(0, 0), distinguishable=False, passed=False
)


@dataclass(frozen=True)
class Draft:
    """What is known before any variant is judged, and where files are put."""

    directory: Path
    spec: ModelSpec
    recipe: Recipe
    tokenizer: ConvertedTokenizer
    source: Source
    digest: str
    target: str
    variants: dict[str, Variant] = field(default_factory=dict)

    def add(self, plan: Plan) -> Variant:
        """Write the plan's graph and list it as a variant that nobody has judged."""
        model, _ = self.recipe.write(plan)
        graph, weights = save(model, self.directory, plan.name)
        files = [graph] + ([weights] if weights else [])
        self.variants[plan.name] = Variant(
            name=plan.name,
            precision=plan.precision,
            exact_on=plan.exact_on,
            bytes=sum((self.directory / name).stat().st_size for name in files),
            file=graph,
            weights_file=weights,
            verdict=UNJUDGED,
            row_independent=True,
            kept_fp32=tuple(sorted(plan.kept_fp32)),
            latency_ms={},
            fused_nodes=count_operators(model),
        )
        return self.variants[plan.name]

    def settle(self, variant: Variant) -> None:
        """Replace what is known of a variant."""
        self.variants[variant.name] = variant

    def open(self, name: str, threads: int | None = None) -> Engine:
        """Open one variant through the runtime."""
        self.manifest(chosen={}, goldens=(), parity="").write(self.directory)
        return Engine.load(self.directory, variant=name, threads=threads)

    def manifest(self, *, chosen: dict[InstructionSet, str], goldens: tuple[Golden, ...], parity: str) -> Manifest:
        """The manifest as things stand."""
        recipe = self.recipe
        head = HEAD_OF_TASK[recipe.task]
        labels = recipe.config.get("id2label") or {}
        labelled = head in ("sequence-classification", "token-classification")
        max_tokens = min(recipe.max_tokens, self.tokenizer.max_tokens or recipe.max_tokens)
        return Manifest(
            schema_version=SCHEMA_VERSION,
            name=self.spec.name,
            digest=self.digest,
            spec=self.spec,
            source=self.source,
            architecture=recipe.architecture.model_type,
            task=recipe.task,
            labels=tuple(str(labels[key]) for key in sorted(labels, key=int)) if labelled else (),
            problem_type=_problem_type(recipe, len(labels)) if head == "sequence-classification" else None,
            limits=Limits(max_tokens=max_tokens),
            pad_token_id=self.tokenizer.pad_token_id,
            pooling=recipe.modules.pooling if recipe.modules else None,
            inputs=recipe.inputs,
            outputs=tuple(OUTPUT_AXES[head]),
            target=self.target,
            variants=tuple(self.variants.values()),
            chosen=chosen,
            parity=parity,
            unused_tensors=tuple(recipe.checkpoint.unused()),
            goldens=goldens,
            files=self._files(),
            versions={name: importlib.metadata.version(name) for name in VERSIONED},
        )

    def ship(self, chosen: dict[InstructionSet, str]) -> None:
        """Delete the files of variants that nothing chose; they stay in the report."""
        for variant in list(self.variants.values()):
            if variant.name in chosen.values():
                continue
            for name in (variant.file, variant.weights_file):
                if name:
                    (self.directory / name).unlink()
            self.settle(variant.model_copy(update={"file": None, "weights_file": None}))

    def _files(self) -> dict[str, FileRecord]:
        names = [TOKENIZER] + [n for v in self.variants.values() for n in (v.file, v.weights_file) if n]
        return {name: record_file(self.directory / name) for name in names}


def instruction_sets(target: str) -> tuple[InstructionSet, ...]:
    """The instruction sets a target's machines may have."""
    return INSTRUCTION_SETS[target]


def _problem_type(recipe: Recipe, labels: int) -> ProblemType:
    stated: ProblemType | None = recipe.config.get("problem_type")
    return stated or ("regression" if labels == 1 else "single_label_classification")
