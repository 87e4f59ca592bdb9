"""The build: specification -> checkpoint -> graph -> variants -> gate -> artifact. One call builds one model."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from layers.artifact import (
    INSTRUCTION_SETS,
    SCHEMA_VERSION,
    InstructionSet,
    Manifest,
    Source,
    record_file,
    verify_files,
)
from layers.catalogue import ModelSpec
from layers.compiler import device_variants, examples, fetch, parity, timing, tokenizer, variants
from layers.compiler.calibration import Calibration, calibrate
from layers.compiler.choice import choose
from layers.compiler.decisions import OWN, Decisions, machine_kind, shape_of
from layers.compiler.device_build import choose_for_card
from layers.compiler.draft import Draft
from layers.compiler.duel import Contender
from layers.compiler.examples import Example, Examples
from layers.compiler.gate import Jury, metric_for, summon
from layers.compiler.generative_build import make_writer
from layers.compiler.generative_recipe import GenerativeRecipe
from layers.compiler.goldens import record_goldens
from layers.compiler.operator_choice import KNOWN, OperatorChoice, Tuning
from layers.compiler.placement import Place
from layers.compiler.plan import FP32, Plan
from layers.compiler.recipe import Recipe, open_recipe
from layers.compiler.trial import describe, judge, try_all
from layers.errors import ArtifactError, UnsupportedError
from layers.runtime.cpu import instruction_set, thread_count
from layers.runtime.engine import Engine

Say = Callable[[str], None]


@dataclass(frozen=True)
class Built:
    """A finished model: where it is, what its manifest says, and whether an earlier build was reused."""

    directory: Path
    manifest: Manifest
    reused: bool


def build(
    spec: ModelSpec, catalogue_directory: Path, output: Path, target: str, say: Say, tuning: Tuning = KNOWN
) -> Built:
    """Build one model into `output/NAME`, or find that the same inputs have been built already.

    Nothing is written unless the model passed its gate, but for what `tuning` measured, which is kept in
    `output/tuning.toml`. Raises CheckpointError, UnsupportedError, CatalogueError or GateError; `say` receives one
    line per step.
    """
    checkpoint_directory, recipe = _open(spec, catalogue_directory, target)
    data = examples.load_examples(spec, catalogue_directory)
    source = _source(spec, recipe)
    operators = _operators(tuning, output, recipe)
    if tuning.depth != "off" and operators.here not in INSTRUCTION_SETS[target]:
        say(f"tuning: nothing to measure, this machine is {operators.here} and the target {target}")
    final = output / spec.name
    place = Place(final)
    place.recover()
    digest = _digest(spec, source, data, target, operators)
    if (found := _reusable(final, digest)) is not None and operators.measured_enough(found.chosen):
        # Traffic and deployment are no inputs of the build, but whoever reads the manifest wants today's.
        if found.spec != spec:
            found = found.model_copy(update={"spec": spec})
            found.write(final)
        return Built(final, found, reused=True)
    with place.workplace() as work:
        draft = Draft(work, spec, recipe, tokenizer.convert(checkpoint_directory, work), source, digest, target)
        manifest = (make_writer if isinstance(recipe, GenerativeRecipe) else _make)(draft, data, operators, say)
        # What was measured meanwhile is among the inputs of the next build.
        manifest = manifest.model_copy(update={"digest": _digest(spec, source, data, target, operators)})
        manifest.write(work)
        place.put(work)
    return Built(final, manifest, reused=False)


def _open(spec: ModelSpec, catalogue_directory: Path, target: str) -> tuple[Path, Recipe | GenerativeRecipe]:
    """The checkpoint and its recipe; refuses what has no variants for the target, before any work is done."""
    if target not in INSTRUCTION_SETS:
        raise UnsupportedError(
            f"{spec.name}: no variants for target {target!r}; expected {', '.join(INSTRUCTION_SETS)}."
        )
    checkpoint_directory = fetch.locate(spec, catalogue_directory)
    recipe = open_recipe(checkpoint_directory, spec.task)
    writes = isinstance(recipe, GenerativeRecipe)
    if target == "cuda":
        device_variants.device_candidates(spec, writes=writes)
    else:
        variants.refuse_unsupported(spec, writes=writes)
    return checkpoint_directory, recipe


def _operators(tuning: Tuning, output: Path, recipe: Recipe | GenerativeRecipe) -> OperatorChoice:
    """What is known of this machine and the model's shape. Raises CatalogueError where a table is broken."""
    here = instruction_set()
    machine = machine_kind(here, thread_count(), tuning.cpuinfo)
    decisions = Decisions.open(output / OWN, machine, shape_of(recipe.checkpoint), tuning.shipped)
    return OperatorChoice(tuning, decisions, here, importlib.metadata.version("onnxruntime"))


def _make(draft: Draft, data: Examples, operators: OperatorChoice, say: Say) -> Manifest:
    """Judge, time, choose and check every candidate; gives the final manifest."""
    spec, recipe = draft.spec, draft.recipe
    assert isinstance(recipe, Recipe)
    draft.add(FP32)
    reference = draft.open(FP32.name)
    metric = metric_for(spec, data.judged, recipe.problem_type, len(recipe.labels))
    jury = summon(spec, metric, reference, data.judged, draft.tokenizer.facts.mask_token_id)
    compared = parity.compare(recipe.checkpoint.directory, spec.task, reference, jury.encodings)
    say(f"fp32 graph: {compared}; judged by {metric.name} on {len(jury.encodings)} examples of {data.origin}")
    say(describe(judge(draft, FP32, jury)))
    if draft.target == "cuda":
        chosen = choose_for_card(
            draft, jury, lambda: _calibrate(draft, recipe, reference, data.calibration), say, writes=False
        )
    else:
        chosen = _choose_for_processors(draft, recipe, jury, reference, data, operators, say)
    threads = thread_count()
    if draft.target != "cuda" and threads > 1:
        _time(draft, jury, 1, dict.fromkeys([*chosen.values(), FP32.name]), lambda _line: None)
    # A card's answers are fp32's within the tolerance of its numbers; the build may have no card to ask.
    answering = FP32.name if draft.target == "cuda" else chosen.get(instruction_set())
    precision = draft.variants[next(iter(chosen.values()))].precision
    goldens = record_goldens(draft, answering, data.judged, precision) if answering else ()
    draft.ship(chosen)
    return draft.manifest(chosen=chosen, goldens=goldens, parity=compared)


def _choose_for_processors(
    draft: Draft,
    recipe: Recipe,
    jury: Jury,
    reference: Engine,
    data: Examples,
    operators: OperatorChoice,
    say: Say,
) -> dict[InstructionSet, str]:
    """Try every form that the precision allows, time what passed, choose; then the operators of those chosen."""
    spec, threads = draft.spec, thread_count()
    calibration = None if spec.precision == "fp32" else _calibrate(draft, recipe, reference, data.calibration)
    plans = variants.candidates(spec, calibration)

    def harmed(_plan: Plan) -> list[str]:
        assert calibration is not None, "an fp32 model has no other plans"
        return calibration.most_harmed(recipe.checkpoint, bits=8)

    try_all(draft, [plan for plan in plans if plan is not FP32], jury, harmed, say)
    _time(draft, jury, threads, [name for name, variant in draft.variants.items() if variant.verdict.passed], say)
    chosen = choose(spec, draft.variants.values(), INSTRUCTION_SETS[draft.target], str(threads))
    lengths = timing.lengths_for(reference.manifest.limits.max_tokens)

    def opening(name: str) -> Contender:
        return Contender(name, timing.calls_of(draft.open(name, alone=True), jury.encodings, lengths))

    changed = operators.settle(draft, jury, {plan.name: plan for plan in plans}, chosen, opening, say)
    _time(draft, jury, threads, changed, say)
    return chosen


def _calibrate(draft: Draft, recipe: Recipe, engine: Engine, texts: Sequence[Example]) -> Calibration:
    feeds = []
    for text in texts:
        encoding = engine.tokenizer.encode(text.text, text.text_pair)
        feed = {
            "input_ids": encoding.input_ids[None],
            "attention_mask": np.ones((1, len(encoding)), np.int64),
            "token_type_ids": encoding.token_type_ids[None],
        }
        feeds.append({name: feed[name] for name in recipe.inputs})
    with tempfile.TemporaryDirectory(dir=draft.directory) as scratch:
        return calibrate(recipe, feeds, Path(scratch))


def _time(draft: Draft, jury: Jury, threads: int, names: Iterable[str], say: Say) -> None:
    """Measure the named variants, on this machine's own target only."""
    if instruction_set() not in INSTRUCTION_SETS[draft.target]:
        say(f"latencies: not measured, this machine is {instruction_set()} and the target {draft.target}")
        return
    lengths = timing.lengths_for(draft.open(FP32.name).manifest.limits.max_tokens)
    engines = {name: draft.open(name, threads=draft.variants[name].session.bounded(threads)) for name in names}
    for name, latencies in timing.time_variants(engines, jury.encodings, lengths).items():
        draft.settle_latencies(name, threads, latencies)


def _source(spec: ModelSpec, recipe: Recipe | GenerativeRecipe) -> Source:
    """Hash every file of the checkpoint that the build reads."""
    directory = recipe.checkpoint.directory
    modules = recipe.modules.files if recipe.modules else ()
    names = {"config.json", *modules, *(file.name for file in recipe.checkpoint.weight_files)}
    beside = (*tokenizer.SOURCES, "chat_template.jinja", "generation_config.json")
    names |= {name for name in beside if (directory / name).is_file()}
    files = {name: record_file(directory / name) for name in sorted(names)}
    return Source(location=spec.source, revision=spec.revision, files=files)


def _digest(spec: ModelSpec, source: Source, data: Examples, target: str, operators: OperatorChoice) -> str:
    """What the artifact is made of: equal digests mean equal inputs."""
    # The runtime is part of it: variants are judged and timed through it.
    layers = Path(__file__).parent.parent
    code = hashlib.sha256()
    for path in sorted([*layers.glob("*.py"), *layers.glob("compiler/**/*.py"), *layers.glob("runtime/**/*.py")]):
        code.update(path.read_bytes())
    inputs = {
        "schema_version": SCHEMA_VERSION,
        "code": code.hexdigest(),
        "onnxruntime": importlib.metadata.version("onnxruntime"),
        "spec": spec.model_dump(mode="json", exclude={"traffic", "deploy", "bucket"}),
        "source": {name: record.sha256 for name, record in source.files.items()},
        "data": hashlib.sha256(repr(data).encode()).hexdigest(),
        "target": target,
        "machine": [instruction_set(), thread_count()],
        "operators": operators.facts(target),
    }
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def _reusable(directory: Path, digest: str) -> Manifest | None:
    try:
        manifest = Manifest.read(directory)
        if manifest.digest != digest:
            return None
        verify_files(manifest, directory, list(manifest.files), weights_by_hash=True)
    except ArtifactError:
        return None
    return manifest
