"""The build of a model that writes text: generation.json, parity, gate, timing and choice, from the same parts."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from layers.artifact import INSTRUCTION_SETS, InstructionSet, Manifest
from layers.compiler.calibration import Calibration, Feed, calibrate_graph
from layers.compiler.choice import choose
from layers.compiler.device_build import choose_for_card
from layers.compiler.draft import Draft
from layers.compiler.duel import Contender
from layers.compiler.examples import Example, Examples
from layers.compiler.generation_info import describe_generation
from layers.compiler.generative_gate import GenerativeJury, Passage, all_logits, passage_of, summon
from layers.compiler.generative_recipe import GenerativeRecipe
from layers.compiler.generative_session import GenerativeSession
from layers.compiler.generative_timing import calls_of, time_writers
from layers.compiler.goldens import record_written
from layers.compiler.operator_choice import OperatorChoice
from layers.compiler.parity import TEXTS, TOLERANCE
from layers.compiler.plan import FP32, TAPPED
from layers.compiler.task_heads import auto_class_of
from layers.compiler.trial import describe, judge, try_all
from layers.compiler.variants import writing_candidates
from layers.errors import CheckpointError
from layers.generation import Generation
from layers.runtime.cpu import instruction_set, thread_count

Say = Callable[[str], None]
CALIBRATION_TEXTS = 32


def make_writer(draft: Draft, data: Examples, operators: OperatorChoice, say: Say) -> Manifest:
    """Judge, time and choose every candidate; gives the final manifest."""
    from transformers import AutoTokenizer

    spec, recipe, threads = draft.spec, draft.recipe, thread_count()
    assert isinstance(recipe, GenerativeRecipe)
    tokenizer = AutoTokenizer.from_pretrained(recipe.checkpoint.directory)
    generation = describe_generation(recipe, tokenizer, draft.tokenizer.max_tokens)
    generation.write(draft.directory)
    draft.add(FP32)
    session = draft.open_generative(FP32.name, threads)
    jury = summon(spec, session, generation, data.judged, tokenizer, threads)
    compared = compare_writers(recipe, session, jury.passages)
    say(f"fp32 graph: {compared}; judged by {jury.metric.name} on {len(jury.passages)} examples of {data.origin}")
    say(describe(judge(draft, FP32, jury)))

    def calibrated() -> Calibration:
        return _calibrate(draft, recipe, session, generation, data.calibration, tokenizer)

    if draft.target == "cuda":
        chosen = choose_for_card(draft, jury, calibrated, say, writes=True)
    else:
        chosen = _choose_for_processors(draft, generation, jury, calibrated, operators, say)
        if threads > 1:
            _time(draft, generation, jury, 1, dict.fromkeys([*chosen.values(), FP32.name]), lambda _line: None)
    draft.ship(chosen)
    goldens = record_written(draft, chosen[instruction_set()], data.judged) if instruction_set() in chosen else ()
    return draft.manifest(chosen=chosen, goldens=goldens, parity=compared)


def _choose_for_processors(
    draft: Draft,
    generation: Generation,
    jury: GenerativeJury,
    calibrated: Callable[[], Calibration],
    operators: OperatorChoice,
    say: Say,
) -> dict[InstructionSet, str]:
    """Try every form that the precision allows, time what passed, choose; then the operators of those chosen."""
    plans, threads = writing_candidates(draft.spec), thread_count()
    if eight_bits := [plan for plan in plans if plan.precision == "int8"]:
        calibration = calibrated()
        checkpoint = draft.recipe.checkpoint
        try_all(draft, eight_bits, jury, lambda _plan: calibration.most_harmed(checkpoint, bits=8), say)
    # What 4 bits lose is spread over all layers: with half of them in fp32, two thirds of the loss were left.
    try_all(draft, [plan for plan in plans if plan.precision == "int4"], jury, None, say)
    passed = [name for name, variant in draft.variants.items() if variant.verdict.passed]
    _time(draft, generation, jury, threads, passed, say)
    chosen = choose(draft.spec, draft.variants.values(), INSTRUCTION_SETS[draft.target], str(threads))
    text, limit = _timed_text(generation, jury)

    def opening(name: str) -> Contender:
        return Contender(name, calls_of(draft.open_generative(name, threads, alone=True), text, limit))

    changed = operators.settle(draft, jury, {plan.name: plan for plan in plans}, chosen, opening, say)
    _time(draft, generation, jury, threads, changed, say)
    return chosen


def compare_writers(recipe: GenerativeRecipe, session: GenerativeSession, passages: Sequence[Passage]) -> str:
    """The fp32 graphs against the unmodified transformers model, as parity.compare does for encoders.

    Raises CheckpointError when they differ by more than TOLERANCE.
    """
    if importlib.util.find_spec("torch") is None:
        return "not compared with transformers: torch is not installed on the build machine"
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()
    auto_class: Any = getattr(transformers, auto_class_of(recipe.task))
    model = auto_class.from_pretrained(recipe.checkpoint.directory, dtype=torch.float32).eval()
    worst = 0.0
    for passage in passages[:TEXTS]:
        read = torch.from_numpy(passage.tokens[None, :-1].copy())
        feed = {"input_ids": read} if passage.source is None else {"decoder_input_ids": read}
        if passage.source is not None:
            feed["input_ids"] = torch.from_numpy(passage.source[None].copy())
        with torch.inference_mode():
            exact = model(**feed).logits.numpy()
        worst = max(worst, float(np.abs(all_logits(session, passage) - exact).max() / max(np.abs(exact).max(), 1e-6)))
    version = importlib.metadata.version("transformers")
    if not worst <= TOLERANCE:
        raise CheckpointError(
            f"{recipe.checkpoint.title}: the fp32 graph differs from transformers {version} by "
            f"{worst:.2e} of the output's scale, allowed {TOLERANCE:.0e}. The recipe does not cover this checkpoint's "
            "configuration; please report it. Nothing was written."
        )
    return (
        f"transformers {version}: largest difference {worst:.1e} of the output's scale "
        f"on {min(TEXTS, len(passages))} texts"
    )


def _calibrate(
    draft: Draft,
    recipe: GenerativeRecipe,
    session: GenerativeSession,
    generation: Generation,
    examples: Sequence[Example],
    tokenizer: Any,
) -> Calibration:
    """What reaches every projection of both graphs, so that those int8 hurts most can be told."""
    passages = [passage_of(session, generation, each, tokenizer) for each in examples[:CALIBRATION_TEXTS]]
    passages = [passage for passage in passages if len(passage.tokens) > 1]
    with tempfile.TemporaryDirectory(dir=draft.directory) as scratch:
        feeds = [_decoder_feed(recipe, session, passage) for passage in passages]
        found = calibrate_graph(*recipe.write(TAPPED), feeds, Path(scratch))
        if session.encoder is None:
            return found
        sources = [passage.source[None] for passage in passages if passage.source is not None]
        read = [{"input_ids": ids, "attention_mask": np.ones_like(ids)} for ids in sources]
        return found.joined(calibrate_graph(*recipe.write_encoder(TAPPED), read, Path(scratch)))


def _decoder_feed(recipe: GenerativeRecipe, session: GenerativeSession, passage: Passage) -> Feed:
    count, cache = len(passage.tokens), recipe.cache
    empty = np.zeros((1, cache.kv_heads, count, cache.head_dim), np.float32)
    sources = session.encode([passage.source]) if passage.source is not None else None
    answers = {name: value.numpy() for name, value in sources.cross.items()} if sources else {}
    cross = {**answers, "encoder_attention_mask": sources.mask} if sources else {}
    return {
        "input_ids": passage.tokens[None],
        "lengths": np.array([count], np.int32),
        "total_length": np.array(count, np.int32),
        "logit_positions": np.arange(count)[None],
        **{name: empty for name in recipe.inputs if name.startswith("past_key_values.")},
        **cross,
    }


def _time(
    draft: Draft, generation: Generation, jury: GenerativeJury, threads: int, names: Iterable[str], say: Say
) -> None:
    """Measure the named variants, on this machine's own target only."""
    if instruction_set() not in INSTRUCTION_SETS[draft.target]:
        say(f"latencies: not measured, this machine is {instruction_set()} and the target {draft.target}")
        return
    sessions = {name: draft.open_generative(name, draft.variants[name].session.bounded(threads)) for name in names}
    for name, latencies in time_writers(sessions, *_timed_text(generation, jury)).items():
        draft.settle_latencies(name, threads, latencies)


def _timed_text(generation: Generation, jury: GenerativeJury) -> tuple[NDArray[np.int64], int]:
    """Tokens to time with, and how many of them fit."""
    limit = min(generation.max_tokens, generation.source_max_tokens or generation.max_tokens)
    return np.concatenate([p.tokens if p.source is None else p.source for p in jury.passages]), limit
