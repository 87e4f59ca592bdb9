"""An artifact while it is being made: a directory with a provisional manifest that the runtime can already open."""

from __future__ import annotations

import importlib.metadata
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from layers.artifact import (
    AS_SERVED,
    SCHEMA_VERSION,
    STAND_IN,
    TOKENIZER,
    FileRecord,
    Golden,
    InstructionSet,
    Limits,
    Manifest,
    SessionSettings,
    Source,
    Variant,
    Verdict,
    record_file,
)
from layers.catalogue import ModelSpec
from layers.compiler.axes.session import SPINNING, THREADS
from layers.compiler.generative_recipe import TRAINED_TOKENS, GenerativeRecipe
from layers.compiler.generative_session import GenerativeSession, open_graph
from layers.compiler.net import count_operators
from layers.compiler.plan import Plan
from layers.compiler.recipe import Recipe, save
from layers.compiler.tokenizer import TARGET_TOKENIZER, ConvertedTokenizer
from layers.generation import GENERATION
from layers.runtime.cpu import thread_count
from layers.runtime.device import open_on_card
from layers.runtime.engine import Engine, open_session

VERSIONED = ("onnxruntime", "onnx", "onnx-ir", "onnxscript", "tokenizers", "transformers", "numpy")
UNJUDGED = Verdict(
    metric="none", value=0, reference=0, drop=0, max_drop=0, n=0, interval=(0, 0), distinguishable=False, passed=False
)


@dataclass(frozen=True)
class Draft:
    """What is known before any variant is judged, and where files are put."""

    directory: Path
    spec: ModelSpec
    recipe: Recipe | GenerativeRecipe
    tokenizer: ConvertedTokenizer
    source: Source
    digest: str
    target: str
    variants: dict[str, Variant] = field(default_factory=dict)
    records: dict[str, FileRecord] = field(default_factory=dict)

    @property
    def threads(self) -> int:
        """How many threads a session may have on this machine."""
        return thread_count()

    def add(self, plan: Plan) -> Variant:
        """Write the plan's graph and list it as a variant that nobody has judged."""
        nodes: Counter[str] = Counter()
        files: dict[str, str | None] = {}
        for part, (model, _) in self.recipe.graphs(plan).items():
            prefix = "" if part == "model" else f"{part}_"
            # An encoder and its decoder read one table of embeddings.
            saved = save(model, self.directory, plan.name, part, beside=files.get("file"))
            files[f"{prefix}file"], files[f"{prefix}weights_file"] = saved
            nodes += Counter(count_operators(model))
        # A draft's manifest is written for every session that is opened; files of weights are read for it only here.
        written = [name for name in files.values() if name]
        self.records.update({name: record_file(self.directory / name) for name in written})
        self.variants[plan.name] = Variant(
            name=plan.name,
            precision=plan.precision,
            exact_on=plan.exact_on,
            bytes=sum(self.records[name].bytes for name in written),
            file=files["file"],
            weights_file=files["weights_file"],
            encoder_file=files.get("encoder_file"),
            encoder_weights_file=files.get("encoder_weights_file"),
            verdict=UNJUDGED,
            row_independent=True,
            kept_fp32=tuple(sorted(plan.kept_fp32)),
            latency_ms={},
            fused_nodes=dict(sorted(nodes.items())),
            judged=STAND_IN if plan.numbers.rounded is not None else AS_SERVED,
            operators=dict(plan.operators.named),
            session=SessionSettings(threads=plan.operators.of(THREADS), spinning=plan.operators.of(SPINNING)),
        )
        return self.variants[plan.name]

    def discard(self, name: str) -> None:
        """Forget a variant, and unlink its files: a session that still maps them keeps them."""
        for file in self.variants.pop(name).files:
            (self.directory / file).unlink()
            del self.records[file]

    def settle(self, variant: Variant) -> None:
        """Replace what is known of a variant."""
        self.variants[variant.name] = variant

    def settle_latencies(self, name: str, threads: int, latencies: dict[str, float]) -> None:
        """Add what was measured with so many threads."""
        variant = self.variants[name]
        self.settle(variant.model_copy(update={"latency_ms": {**variant.latency_ms, str(threads): latencies}}))

    def open(self, name: str, threads: int | None = None, *, alone: bool = False) -> Engine:
        """Open one variant through the runtime."""
        self.manifest(chosen={}, goldens=(), parity="").write(self.directory)
        return Engine.load(self.directory, variant=name, threads=threads, alone=alone)

    def open_generative(self, name: str, threads: int, *, alone: bool = False) -> GenerativeSession:
        """Open one variant of a model that writes text; `alone` as it is served, with the threads it asks for."""
        assert isinstance(self.recipe, GenerativeRecipe)
        variant = self.variants[name]
        opener: Callable[[Path], Any] = partial(open_graph, threads=threads)
        if variant.on_card:
            opener = open_on_card
        elif alone:
            opener = partial(open_session, threads=variant.session.bounded(threads), spinning=variant.session.spinning)
        return GenerativeSession.open(self.directory, variant, self.recipe.cache, opener)

    def manifest(self, *, chosen: dict[InstructionSet, str], goldens: tuple[Golden, ...], parity: str) -> Manifest:
        """The manifest as things stand."""
        recipe = self.recipe
        limits = [limit for limit in (recipe.max_tokens, self.tokenizer.max_tokens) if limit]
        return Manifest(
            schema_version=SCHEMA_VERSION,
            name=self.spec.name,
            digest=self.digest,
            spec=self.spec,
            source=self.source,
            architecture=recipe.architecture.model_type,
            task=recipe.task,
            labels=recipe.labels,
            problem_type=recipe.problem_type,
            limits=Limits(max_tokens=min(limits, default=TRAINED_TOKENS)),
            pad_token_id=self.tokenizer.pad_token_id,
            tokenizer=self.tokenizer.facts,
            pooling=recipe.pooling,
            inputs=recipe.inputs,
            outputs=recipe.outputs,
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
            for name in variant.files:
                (self.directory / name).unlink()
            gone = ("file", "weights_file", "encoder_file", "encoder_weights_file")
            self.settle(variant.model_copy(update=dict.fromkeys(gone)))

    def _files(self) -> dict[str, FileRecord]:
        beside = [name for name in (GENERATION, TARGET_TOKENIZER) if (self.directory / name).is_file()]
        named = {name: record_file(self.directory / name) for name in (TOKENIZER, *beside)}
        return named | {name: self.records[name] for variant in self.variants.values() for name in variant.files}
