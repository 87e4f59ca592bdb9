"""Several artifacts served by one process: each is loaded when it is first asked, and given up for others' memory."""

from __future__ import annotations

import logging
import sys
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from threading import Lock
from time import perf_counter
from typing import Any, Unpack

from layers.artifact import TOKENIZER, Manifest, Variant
from layers.errors import ArtifactError
from layers.footprint import MEMORY_PER_WEIGHT, PROCESS_MIB, WRITING_MIB
from layers.runtime.cache import CacheReport
from layers.runtime.card import machine_for
from layers.runtime.cpu import thread_count
from layers.runtime.engine import Engine
from layers.runtime.generation.engine import GENERATIVE_TASKS, GenerationEngine
from layers.runtime.generation.load_options import GenerationLoadOptions
from layers.runtime.limits import NO_LIMITS, TokenLimits
from layers.runtime.memory import MEBIBYTE, memory_bytes
from layers.runtime.predictor import Predictor, find_artifacts, load_predictors, tasks_of
from layers.runtime.request import NO_PARAMETERS
from layers.runtime.residents import Residents
from layers.runtime.run import Prediction, StreamEvent
from layers.runtime.tokenizer import TextTokenizer

logger = logging.getLogger("hundredfold.group")


class GroupMember(Predictor):
    """A predictor whose engine is in memory while it works, and afterwards until the memory is wanted.

    What its manifest says is known without loading it. Work raises ArtifactError where the artifact cannot be loaded.
    """

    def __init__(
        self,
        directory: Path,
        manifest: Manifest,
        residents: Residents[Predictor],
        threads: int | None,
        limits: TokenLimits,
    ) -> None:
        self._directory = directory
        self._manifest = manifest
        self._variant = manifest.variant_for(machine_for(manifest))
        self._residents = residents
        self._threads = self._variant.session.bounded(thread_count()) if threads is None else threads
        self._limits = limits
        self.warmed = False
        self.tasks = tasks_of(manifest)

    @property
    def engine(self) -> Engine | GenerationEngine:
        """Loaded if it is not; those who keep it keep its memory."""
        with self.held() as predictor:
            return predictor.engine

    @property
    def engine_in_memory(self) -> Engine | GenerationEngine | None:
        """None while it is not loaded."""
        loaded = self._residents.loaded(self._manifest.name)
        return None if loaded is None else loaded.engine

    @property
    def manifest(self) -> Manifest:
        """Of the artifact that answers."""
        return self._manifest

    @property
    def variant(self) -> Variant:
        """What answers on this machine."""
        return self._variant

    @property
    def threads(self) -> int:
        """Of a session."""
        return self._threads

    @property
    def limits(self) -> TokenLimits:
        """How many tokens a request may have."""
        return self._limits

    def held(self) -> AbstractContextManager[Predictor]:
        """The loaded predictor, which is not given up meanwhile."""
        return self._residents.held(self._manifest.name)

    def predict(
        self,
        inputs: Any,
        parameters: Mapping[str, Any] = NO_PARAMETERS,
        *,
        task: str | None = None,
        max_inputs: int | None = None,
    ) -> Prediction:
        """As `Predictor.predict`."""
        with self.held() as predictor:
            return predictor.predict(inputs, parameters, task=task, max_inputs=max_inputs)

    def predict_stream(
        self, inputs: Any, parameters: Mapping[str, Any] = NO_PARAMETERS, *, task: str | None = None
    ) -> Generator[StreamEvent]:
        """As `Predictor.predict_stream`; the model is in use until the iterator ends or is closed."""
        stream = self._stream(inputs, parameters, task)
        # Begun here, so that it ends where it is closed, also before its first event was taken.
        next(stream)
        return stream

    def _stream(self, inputs: Any, parameters: Mapping[str, Any], task: str | None) -> Generator[Any]:
        with self.held() as predictor:
            events = predictor.predict_stream(inputs, parameters, task=task)
            yield None
            yield from events

    def cache_reports(self) -> dict[str, CacheReport]:
        """As `Predictor.cache_reports`; none of a model that is not loaded."""
        loaded = self._residents.loaded(self._manifest.name)
        return {} if loaded is None else loaded.cache_reports()

    def mask_token(self) -> str | None:
        """As `Predictor.mask_token`; reads the tokenizer and not the weights."""
        mask = self._manifest.tokenizer.mask_token_id
        if "fill-mask" not in self.tasks or mask is None:
            return None
        tokenizer = TextTokenizer.load(self._directory / TOKENIZER, self._manifest.limits.max_tokens, 0)
        return tokenizer.vocabulary.token(mask)


class PredictorGroup(Mapping[str, Predictor]):
    """The artifacts of some folders by name. Nothing is loaded until a model is asked for an answer."""

    def __init__(
        self, directories: Iterable[Path], budget_bytes: int | None = None, **options: Unpack[GenerationLoadOptions]
    ) -> None:
        """`budget_bytes` is what loaded models may take together (default: what the process may have, less its own).

        Raises ArtifactError for a manifest that cannot be read, is of another machine or of a name that is taken.
        """
        self._directories: dict[str, Path] = {}
        manifests: dict[str, Manifest] = {}
        for directory in directories:
            manifest = Manifest.read(directory)
            if manifest.name in manifests:
                raise ArtifactError(f"{directory}: another artifact beside it is named {manifest.name!r}")
            manifests[manifest.name], self._directories[manifest.name] = manifest, directory
        self._options: GenerationLoadOptions = {"alone": False, **options}
        sizes = {name: model_bytes(manifest) for name, manifest in manifests.items()}
        budget = default_budget_bytes() if budget_bytes is None else budget_bytes
        residents = Residents(self._load, sizes, budget)
        threads, limits = options.get("threads"), options.get("limits", NO_LIMITS)
        self._members = {
            name: GroupMember(self._directories[name], manifest, residents, threads, limits)
            for name, manifest in manifests.items()
        }
        self.loads = LoadCounts()

    def __getitem__(self, name: str) -> Predictor:
        """The model of that name, loaded or not."""
        return self._members[name]

    def __iter__(self) -> Iterator[str]:
        """Names, in order of their folders."""
        return iter(self._members)

    def __len__(self) -> int:
        """How many models there are."""
        return len(self._members)

    def _load(self, name: str) -> Predictor:
        started = perf_counter()
        predictor = Predictor.load(self._directories[name], **self._options)
        milliseconds = 1000 * (perf_counter() - started)
        self.loads.add(milliseconds)
        logger.info("loaded", extra={"fields": {"model": name, "load_ms": round(milliseconds, 1)}})
        return predictor


class LoadCounts:
    """How often models were loaded since it was asked last, and how long that took."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._count, self._milliseconds = 0, 0.0

    def add(self, milliseconds: float) -> None:
        """One more."""
        with self._lock:
            self._count += 1
            self._milliseconds += milliseconds

    def take(self) -> tuple[int, float]:
        """Loads and their milliseconds together; counting begins anew."""
        with self._lock:
            taken = self._count, self._milliseconds
            self._count, self._milliseconds = 0, 0.0
        return taken


def open_predictors(
    artifact_dir: Path,
    *,
    warm_until: float | None = None,
    budget_bytes: int | None = None,
    **options: Unpack[GenerationLoadOptions],
) -> Mapping[str, Predictor]:
    """One artifact, loaded as by `load_predictors`; or those in a folder, each loaded when it is asked.

    Raises ArtifactError as `load_predictors` and `PredictorGroup`.
    """
    directories = find_artifacts(artifact_dir)
    if len(directories) == 1:
        return load_predictors(artifact_dir, warm_until=warm_until, **options)
    return PredictorGroup(directories, budget_bytes, **options)


def model_bytes(manifest: Manifest) -> int:
    """Memory of a model that is loaded, by the size of what this machine loads of it."""
    writing = WRITING_MIB * MEBIBYTE if manifest.task in GENERATIVE_TASKS else 0
    return MEMORY_PER_WEIGHT * manifest.variant_for(machine_for(manifest)).bytes + writing


def default_budget_bytes(limit_bytes: int | None = None) -> int:
    """What models may take of the memory that this process may have; without a limit, anything."""
    limit = limit_bytes or memory_bytes()
    return sys.maxsize if limit is None else max(0, limit - PROCESS_MIB * MEBIBYTE)
