"""A model ready to answer: an engine and the tasks its artifact can answer. All that functions/ needs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Unpack

from layers.artifact import MANIFEST, Manifest
from layers.errors import ArtifactError, InputError
from layers.runtime.cache import CacheReport
from layers.runtime.engine import Engine, LoadOptions
from layers.runtime.run import Prediction, Run
from layers.runtime.tasks import TASKS

NO_PARAMETERS: Mapping[str, Any] = MappingProxyType({})


class Predictor:
    """Answers one artifact's tasks. Safe to share between threads."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.tasks = tuple(name for name, task in TASKS.items() if engine.manifest.task in task.served_by)
        if not self.tasks:
            raise ArtifactError(
                f"{engine.manifest.name}: no task here answers {engine.manifest.task!r}. Expected one of: "
                f"{', '.join(sorted({name for task in TASKS.values() for name in task.served_by}))}."
            )

    @classmethod
    def load(cls, directory: Path, **options: Unpack[LoadOptions]) -> Predictor:
        """Open an artifact and run it once. Options and errors are those of `Engine.load`."""
        engine = Engine.load(directory, **options)
        engine.warm_up()
        return cls(engine)

    @property
    def manifest(self) -> Manifest:
        """Of the artifact that answers."""
        return self.engine.manifest

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
        name = task or self.manifest.task
        if name not in self.tasks:
            raise InputError(
                f"{self.manifest.name} answers {', '.join(self.tasks)}: got task {name!r}.",
                status=404,
                error_type="unknown_task",
            )
        run = Run(self.engine, max_inputs)
        return run.finish(TASKS[name].answer(run, inputs, parameters))

    def cache_reports(self) -> dict[str, CacheReport]:
        """Every cache of this model, by name."""
        return {"encodings": self.engine.tokenizer.cache_report()}


def load_predictors(artifact_dir: Path, **options: Unpack[LoadOptions]) -> dict[str, Predictor]:
    """Load one artifact, or every artifact in a folder of them, by the model's name.

    Raises ArtifactError when there is none, when two share a name, and as `Engine.load` does.
    """
    directories = [artifact_dir]
    if not (artifact_dir / MANIFEST).is_file():
        directories = sorted(path.parent for path in artifact_dir.glob(f"*/{MANIFEST}"))
    if not directories:
        raise ArtifactError(
            f"{artifact_dir}: got neither {MANIFEST} nor folders that hold one. "
            "Build a model first: python build_artifacts.py MODEL"
        )
    predictors: dict[str, Predictor] = {}
    for directory in directories:
        predictor = Predictor.load(directory, **options)
        if predictor.manifest.name in predictors:
            raise ArtifactError(f"{directory}: another artifact of {artifact_dir} is named {predictor.manifest.name!r}")
        predictors[predictor.manifest.name] = predictor
    return predictors
