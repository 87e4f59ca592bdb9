"""One variant of one artifact, opened: encodings in, the graph's outputs out. Knows no task."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt
import onnxruntime

from layers.artifact import TOKENIZER, Manifest, Variant, verify_files
from layers.errors import ArtifactError, ModelOutputError
from layers.runtime.alignment import Encoding
from layers.runtime.batching import in_caller_order, plan_batches, usual_batch_tokens
from layers.runtime.bucketed import BucketedRuns
from layers.runtime.card import machine_for
from layers.runtime.cpu import thread_count
from layers.runtime.device import CARD, Place, open_on_card
from layers.runtime.limits import NO_LIMITS, TokenLimits
from layers.runtime.tokenizer import DEFAULT_CACHE_BYTES, TextTokenizer

Array = npt.NDArray[Any]
Outputs = dict[str, Array]

MAX_RUN_TEXTS = 32


class LoadOptions(TypedDict, total=False):
    """Keyword arguments of `Engine.load`, for those who pass them on."""

    variant: str | None
    threads: int | None
    spinning: bool | None
    verify_weights: bool
    alone: bool
    encoding_cache_bytes: int
    max_batch_tokens: int | None
    limits: TokenLimits


class Engine:
    """A session with its tokenizer. Safe to share between threads: no call changes it."""

    def __init__(
        self,
        manifest: Manifest,
        variant: Variant,
        tokenizer: TextTokenizer,
        session: onnxruntime.InferenceSession,
        *,
        threads: int,
        spinning: bool = True,
        max_batch_tokens: int | None = None,
        limits: TokenLimits = NO_LIMITS,
        place: Place | None = None,
    ) -> None:
        """With a `place`, runs are padded to buckets and recorded there; without, they are the session's own."""
        self.manifest = manifest
        self.limits = limits
        self.variant = variant
        self.tokenizer = tokenizer
        self.threads = threads
        self.spinning = spinning
        self._run_graph = BucketedRuns(session, place).run if place else session.run
        self.max_batch_tokens = max_batch_tokens or usual_batch_tokens(on_card=place is not None, writes=False)
        graph_inputs = {node.name: node.shape for node in session.get_inputs()}
        unknown = set(graph_inputs) - {"input_ids", "attention_mask", "token_type_ids"}
        if "input_ids" not in graph_inputs or unknown:
            raise ArtifactError(f"{manifest.name}: graph inputs are {sorted(graph_inputs)}. Build the model again.")
        self._input_names = tuple(graph_inputs)
        # The axis is known by its symbol: a classifier may well have as many labels as a batch has tokens.
        sequence_axis = graph_inputs["input_ids"][1]
        self._per_token = {
            node.name: len(node.shape) > 1 and node.shape[1] == sequence_axis for node in session.get_outputs()
        }

    @classmethod
    def load(
        cls,
        directory: Path,
        *,
        variant: str | None = None,
        threads: int | None = None,
        spinning: bool | None = None,
        verify_weights: bool = False,
        alone: bool = True,
        encoding_cache_bytes: int = DEFAULT_CACHE_BYTES,
        max_batch_tokens: int | None = None,
        limits: TokenLimits = NO_LIMITS,
    ) -> Engine:
        """Open an artifact: the variant named, or the one chosen for the machine this runs on.

        `threads` defaults to what the CPU share of this environment allows, and `spinning` (whether threads wait awake)
        to what the build found; `alone` is false when the process holds other sessions, which idle threads would then
        take turns with. Raises ArtifactError when a file is missing or altered, or nothing in the artifact is meant for
        this machine.
        """
        manifest = Manifest.read(directory)
        chosen = manifest.variant(variant) if variant else manifest.variant_for(machine_for(manifest))
        if chosen.file is None:
            raise ArtifactError(f"{manifest.name}: variant {chosen.name!r} was reported but not shipped")
        files = [chosen.file, *([chosen.weights_file] if chosen.weights_file else []), TOKENIZER]
        verify_files(manifest, directory, files, weights_by_hash=verify_weights)
        # What was asked for stands; the build's choice is for what the environment leaves open.
        threads = threads or chosen.session.bounded(thread_count())
        spinning = chosen.session.spinning if spinning is None else spinning
        # Opening a session holds no lock of the interpreter, so the tokenizer is read meanwhile.
        with ThreadPoolExecutor(1) as beside:
            place = CARD if chosen.on_card else None
            opening = beside.submit(
                open_session, directory / chosen.file, threads, alone=alone, spinning=spinning, place=place
            )
            longest = limits.input_limit(manifest.limits.max_tokens)
            lowercase = manifest.pooling is not None and manifest.pooling.lowercase
            tokenizer = TextTokenizer.load(
                directory / TOKENIZER,
                longest,
                encoding_cache_bytes,
                lowercase=lowercase,
                truncation_side=manifest.tokenizer.truncation_side,
            )
            session = opening.result()
        return cls(
            manifest,
            chosen,
            tokenizer,
            session,
            threads=threads,
            spinning=spinning,
            max_batch_tokens=max_batch_tokens,
            limits=limits,
            place=place,
        )

    @property
    def output_names(self) -> tuple[str, ...]:
        """What the graph can answer."""
        return tuple(self._per_token)

    def forward(self, encodings: Sequence[Encoding], outputs: Sequence[str] | None = None) -> list[Outputs]:
        """Run the graph; one dict an encoding, in their order, each array without batch axis and padding.

        `logits` is [labels], or [sequence, labels] where the graph answers per token; `last_hidden_state`
        [sequence, hidden]; `sentence_embedding` [dimension]; `start_logits` and `end_logits` [sequence].
        `outputs` names those wanted (default: all). Raises ModelOutputError when one is not finite.
        """
        names = list(outputs) if outputs is not None else list(self._per_token)
        batches = plan_batches(
            [len(encoding) for encoding in encodings],
            max_batch_size=MAX_RUN_TEXTS if self.variant.row_independent else 1,
            max_batch_tokens=self.max_batch_tokens,
        )
        return in_caller_order(
            batches, [self._run([encodings[position] for position in batch], names) for batch in batches]
        )

    def warm_up(self) -> None:
        """One inference on a short text, so that the first request does not pay for first-time allocations."""
        self.forward([self.tokenizer.encode_uncached("warm up")])

    def _run(self, batch: Sequence[Encoding], names: list[str]) -> list[Outputs]:
        feed = _pad(batch, self.manifest.pad_token_id)
        answers = self._run_graph(names, {name: feed[name] for name in self._input_names})
        # One look at everything is cheaper than one a text; padding alone may hold what is not finite.
        doubtful = not all(np.isfinite(answer).all() for answer in answers)
        rows: list[Outputs] = []
        for row, encoding in enumerate(batch):
            cut = {
                name: answer[row, : len(encoding)] if self._per_token[name] else answer[row]
                for name, answer in zip(names, answers, strict=True)
            }
            for name, array in cut.items() if doubtful else ():
                if not np.isfinite(array).all():
                    raise ModelOutputError(f"{self.manifest.name}: {name} of variant {self.variant.name} is not finite")
            rows.append(cut)
        return rows


def _pad(batch: Sequence[Encoding], pad_id: int) -> dict[str, Array]:
    """The graph's inputs, each int64 [batch, sequence]."""
    if len(batch) == 1:
        [encoding] = batch
        return {
            "input_ids": encoding.input_ids[None],
            "attention_mask": np.ones((1, len(encoding)), dtype=np.int64),
            "token_type_ids": encoding.token_type_ids[None],
        }
    shape = (len(batch), max(len(encoding) for encoding in batch))
    if all(len(encoding) == shape[1] for encoding in batch):
        return {
            "input_ids": np.concatenate([encoding.input_ids for encoding in batch]).reshape(shape),
            "attention_mask": np.ones(shape, dtype=np.int64),
            "token_type_ids": np.concatenate([encoding.token_type_ids for encoding in batch]).reshape(shape),
        }
    input_ids = np.full(shape, pad_id, dtype=np.int64)
    attention_mask = np.zeros(shape, dtype=np.int64)
    token_type_ids = np.zeros(shape, dtype=np.int64)
    for row, encoding in enumerate(batch):
        input_ids[row, : len(encoding)] = encoding.input_ids
        attention_mask[row, : len(encoding)] = 1
        token_type_ids[row, : len(encoding)] = encoding.token_type_ids
    return {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": token_type_ids}


def open_session(
    path: Path, threads: int, *, alone: bool = True, spinning: bool = True, place: Place | None = None
) -> onnxruntime.InferenceSession:
    """Open a graph as the build left it, here or at `place`. Raises ArtifactError when onnxruntime cannot."""
    if place == CARD:
        return open_on_card(path)
    options = onnxruntime.SessionOptions()
    # The build has optimized the graph; doing it again costs start-up time and may undo its choices.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Work is handed out in shrinking blocks, so that a thread which the host held up delays less.
    options.add_session_config_entry("session.dynamic_block_base", "4")
    if not spinning:
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    elif not alone:
        # Otherwise threads spin for a moment after a run. Between the runs of one session that pays (BERT-base at 128
        # tokens: 46 ms, and 69 with threads that stop at once); between those of several it takes their time.
        options.add_session_config_entry("session.force_spinning_stop", "1")
    try:
        return onnxruntime.InferenceSession(str(path), sess_options=options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions share no public base
        raise ArtifactError(f"{path}: onnxruntime cannot open it: {error}. Build the model again.") from error
