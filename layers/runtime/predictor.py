"""A model ready to answer: an engine and the tasks its artifact can answer. All that functions/ needs."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Unpack

from layers.artifact import MANIFEST, Manifest, Variant
from layers.errors import ArtifactError, InputError
from layers.runtime.cache import CacheReport
from layers.runtime.engine import Engine, LoadOptions
from layers.runtime.generation.engine import GENERATIVE_TASKS, GenerationEngine
from layers.runtime.generation.load_options import GenerationLoadOptions
from layers.runtime.limits import TokenLimits
from layers.runtime.request import NO_PARAMETERS
from layers.runtime.run import Prediction, Run, StreamEvent
from layers.runtime.tasks import TASKS, UNLISTED
from layers.runtime.tasks.task import Task
from layers.runtime.warming import warm


class Predictor:
    """Answers one artifact's tasks. Safe to share between threads."""

    def __init__(self, engine: Engine | GenerationEngine) -> None:
        self._engine = engine
        self.warmed = False
        self.tasks = tasks_of(engine.manifest)

    @classmethod
    def load(
        cls, directory: Path, *, warm_until: float | None = None, **options: Unpack[GenerationLoadOptions]
    ) -> Predictor:
        """Open an artifact and run it once. Options and errors are those of `Engine.load`, or `GenerationEngine.load`.

        What only generation needs is accepted for any artifact: a folder of them is loaded with one set of options.
        The run is not waited for when `time.monotonic` reads `warm_until`, and then `warmed` is false.
        """
        engine: Engine | GenerationEngine
        if Manifest.read(directory).task in GENERATIVE_TASKS:
            engine = GenerationEngine.load(directory, **options)
        else:
            for name in GenerationLoadOptions.__annotations__.keys() - LoadOptions.__annotations__.keys():
                options.pop(name, None)  # type: ignore[misc]  # keys of a TypedDict are literals elsewhere
            engine = Engine.load(directory, **options)  # type: ignore[misc]  # what is left are its options
        predictor = cls(engine)
        predictor.warmed = warm(engine.warm_up, warm_until)
        return predictor

    @property
    def engine(self) -> Engine | GenerationEngine:
        """What runs the artifact's graph."""
        return self._engine

    @property
    def engine_in_memory(self) -> Engine | GenerationEngine | None:
        """The engine where it is loaded already, as it is here."""
        return self._engine

    @property
    def manifest(self) -> Manifest:
        """Of the artifact that answers."""
        return self._engine.manifest

    @property
    def variant(self) -> Variant:
        """What answers on this machine."""
        return self._engine.variant

    @property
    def threads(self) -> int:
        """Of a session."""
        return self._engine.threads

    @property
    def limits(self) -> TokenLimits:
        """How many tokens a request may have."""
        return self._engine.limits

    def held(self) -> AbstractContextManager[Predictor]:
        """The predictor with its engine in memory, where it stays meanwhile."""
        return nullcontext(self)

    def predict(
        self,
        inputs: Any,
        parameters: Mapping[str, Any] = NO_PARAMETERS,
        *,
        task: str | None = None,
        max_inputs: int | None = None,
    ) -> Prediction:
        """Answer `inputs`, given as the task's page of the Inference API describes them, already parsed.

        `task` is one of `self.tasks` (default: the artifact's own). Raises InputError for anything the
        caller can mend, ModelOutputError when the model's answer is none.
        """
        return self.answer(Run(self.engine, max_inputs), inputs, parameters, task)

    def answer(self, run: Run, inputs: Any, parameters: Mapping[str, Any], task: str | None = None) -> Prediction:
        """`predict` with a run that the caller made of this predictor's engine."""
        return run.finish(self._task(task).answer(run, inputs, parameters))

    def predict_stream(
        self, inputs: Any, parameters: Mapping[str, Any] = NO_PARAMETERS, *, task: str | None = None
    ) -> Generator[StreamEvent]:
        """Answer one input token by token, as `predict` would answer it.

        The first token is there when this returns, so whatever can be refused has been. Closing the iterator ends the
        work. Raises InputError and ModelOutputError as `predict`, and InputError for a task that writes no text.
        """
        stream = self._task(task).stream
        if stream is None:
            raise InputError(f"{self.manifest.name} answers {self.manifest.task}, which cannot be streamed.")
        events = stream(Run(self.engine, 1), inputs, parameters)
        return _resumed(next(events), events)

    def cache_reports(self) -> dict[str, CacheReport]:
        """Every cache of this model, by name."""
        if isinstance(self.engine, GenerationEngine):
            return self.engine.cache_reports()
        return {"encodings": self.engine.tokenizer.cache_report()}

    def mask_token(self) -> str | None:
        """What stands for a word to guess, of a model that guesses."""
        mask = self.manifest.tokenizer.mask_token_id
        if "fill-mask" not in self.tasks or mask is None:
            return None
        return self.engine.tokenizer.vocabulary.token(mask)

    def _task(self, name: str | None) -> Task:
        name = name or self.manifest.task
        unlisted = UNLISTED.get(name)
        if unlisted is not None and unlisted.served_by(self.manifest):
            return unlisted
        if name not in self.tasks:
            raise InputError(
                f"{self.manifest.name} answers {', '.join(self.tasks)}: got task {name!r}.",
                status=404,
                error_type="unknown_task",
            )
        return TASKS[name]


def _resumed(first: StreamEvent, others: Generator[StreamEvent]) -> Generator[StreamEvent]:
    yield first
    yield from others


def tasks_of(manifest: Manifest) -> tuple[str, ...]:
    """The tasks that an artifact answers. Raises ArtifactError when there is none."""
    tasks = tuple(name for name, task in TASKS.items() if task.served_by(manifest))
    if not tasks:
        raise ArtifactError(
            f"{manifest.name}: no task here answers {manifest.task!r}. Expected one of: {', '.join(TASKS)}."
        )
    return tasks


def find_artifacts(artifact_dir: Path) -> list[Path]:
    """The folder itself when it is an artifact, else those in it that are. Raises ArtifactError when there is none."""
    if (artifact_dir / MANIFEST).is_file():
        return [artifact_dir]
    directories = sorted(path.parent for path in artifact_dir.glob(f"*/{MANIFEST}"))
    if not directories:
        raise ArtifactError(
            f"{artifact_dir}: got neither {MANIFEST} nor folders that hold one. "
            "Build a model first: python build_artifacts.py MODEL"
        )
    return directories


def load_predictors(
    artifact_dir: Path, *, warm_until: float | None = None, **options: Unpack[GenerationLoadOptions]
) -> dict[str, Predictor]:
    """Load one artifact, or every artifact in a folder of them, by the model's name; `warm_until` as `Predictor.load`.

    Raises ArtifactError when there is none, when two share a name, and as `Engine.load` does.
    """
    directories = find_artifacts(artifact_dir)
    options = {"alone": len(directories) == 1, **options}
    predictors: dict[str, Predictor] = {}
    for directory in directories:
        predictor = Predictor.load(directory, warm_until=warm_until, **options)
        if predictor.manifest.name in predictors:
            raise ArtifactError(f"{directory}: another artifact of {artifact_dir} is named {predictor.manifest.name!r}")
        predictors[predictor.manifest.name] = predictor
    return predictors
