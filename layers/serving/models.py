"""Which model a request is for, and what there is to know about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from layers.errors import InputError
from layers.runtime.batching import usual_batch_tokens
from layers.runtime.cache import CacheReport
from layers.runtime.engine import Engine
from layers.runtime.generation.engine import GENERATIVE_TASKS, GenerationEngine
from layers.runtime.predictor import Predictor
from layers.runtime.settings import Settings
from layers.serving.release import RELEASE
from layers.serving.response_cache import ResponseCaches
from layers.wording import shown


class Models:
    """The predictors that one application serves, by name."""

    def __init__(self, predictors: Mapping[str, Predictor], settings: Settings, responses: ResponseCaches) -> None:
        self._predictors = dict(predictors)
        self._responses = responses
        self.settings = settings

    @property
    def served(self) -> Mapping[str, Predictor]:
        """Every model, by name."""
        return self._predictors

    def named(self, name: str, task: str | None = None) -> Predictor:
        """By its name in the catalogue, or that of its repository on the Hub ("org/name").

        Models of one repository are told apart by the task. Raises InputError (404) for a name that is not served.
        """
        if name in self._predictors:
            return self._predictors[name]
        found = [model for model in self._predictors.values() if _repository(model) == name]
        if len(found) > 1:
            found = [model for model in found if task is not None and task in (*model.tasks, model.manifest.task)]
        if len(found) != 1:
            raise InputError(
                f"unknown model {shown(name)}: {self._served()}",
                status=404,
                error_type="unknown_model",
                parameter="model",
            )
        return found[0]

    def only(self, task: str | None = None) -> Predictor:
        """The one model (that answers `task`). Raises InputError (404) when there are more, or none does."""
        able = self._able(task)
        if len(able) == 1:
            return able[0]
        if not able:
            raise InputError(f"no model here answers {task!r}. {self._served()}", status=404, error_type="unknown_task")
        raise InputError(
            f"several models are served here: POST to /models/NAME. {self._served()}",
            status=404,
            error_type="unknown_model",
        )

    def chosen(self, name: str | None, task: str) -> Predictor:
        """For clients that always name a model: the only one that answers `task`, whatever they say; else theirs.

        huggingface_hub says "dummy" where a URL is all it knows. Raises InputError (404).
        """
        return self.only(task) if name is None or len(self._able(task)) < 2 else self.named(name, task)

    def _able(self, task: str | None) -> list[Predictor]:
        return [model for model in self._predictors.values() if task is None or task in model.tasks]

    def describe_all(self) -> dict[str, Any]:
        """The only model's facts, or every model's by name."""
        if len(self._predictors) == 1:
            return self.describe(self.only())
        return {"models": {name: self.describe(predictor) for name, predictor in self._predictors.items()}}

    def describe(self, predictor: Predictor) -> dict[str, Any]:
        """A model in the fields of TEI's `/info`, then ours."""
        manifest = predictor.manifest
        return {
            "model_id": manifest.source.location,
            "model_sha": manifest.source.revision,
            "model_dtype": predictor.variant.precision,
            "served_model_name": manifest.name,
            "model_type": _model_type(predictor),
            "max_concurrent_requests": self.settings.max_concurrent_requests,
            "max_input_length": predictor.limits.input_limit(manifest.limits.max_tokens),
            "max_batch_tokens": self.settings.max_batch_tokens
            or usual_batch_tokens(on_card=predictor.variant.on_card, writes=manifest.task in GENERATIVE_TASKS),
            "max_batch_requests": None,
            "max_client_batch_size": self.settings.max_batch_size,
            # A prompt that is too long is refused: what is cut from its end or its beginning changes what follows.
            "auto_truncate": manifest.task != "text-generation",
            "tokenization_workers": max(1, self.settings.workers),
            "version": RELEASE,
            "sha": None,
            "docker_label": None,
            "payload_limit": self.settings.max_body_bytes,
            "task": manifest.task,
            "tasks": list(predictor.tasks),
            "architecture": manifest.architecture,
            "digest": manifest.digest,
            "variant": predictor.variant.name,
            "threads": predictor.threads,
            "max_request_tokens": predictor.limits.request_tokens,
            **_writing(predictor.engine_in_memory),
            "caches": {name: asdict(report) for name, report in self.cache_reports(predictor).items()},
        }

    def cache_reports(self, predictor: Predictor) -> dict[str, CacheReport]:
        """Every cache that stands between a request and this model, by name."""
        return {**predictor.cache_reports(), **self._responses.of(predictor).reports()}

    def _served(self) -> str:
        return f"Served here: {', '.join(f'{n} ({m.manifest.task})' for n, m in self._predictors.items())}."


def _repository(predictor: Predictor) -> str:
    return predictor.manifest.source.location.removeprefix("hf://")


def _model_type(predictor: Predictor) -> dict[str, Any]:
    manifest = predictor.manifest
    if manifest.labels:
        id2label = {str(index): label for index, label in enumerate(manifest.labels)}
        label2id = {label: index for index, label in enumerate(manifest.labels)}
        # What text-embeddings-inference calls a classifier of one label.
        kind = "classifier" if len(manifest.labels) > 1 else "reranker"
        return {kind: {"id2label": id2label, "label2id": label2id}}
    if manifest.task in GENERATIVE_TASKS:
        return {"generation": {"task": manifest.task}}
    return {"embedding": {"pooling": manifest.pooling.mode if manifest.pooling else "mean"}}


def _writing(engine: Engine | GenerationEngine | None) -> dict[str, Any]:
    """Limits by text-generation-inference's names, and how guesses went; nothing until the model is loaded."""
    if not isinstance(engine, GenerationEngine):
        return {}
    lookup = engine.lookup_report()
    longest = engine.generation.source_max_tokens or engine.max_total_tokens
    return {
        "max_input_tokens": engine.limits.input_limit(longest),
        "max_new_tokens": engine.limits.new_tokens,
        "max_total_tokens": engine.max_total_tokens,
        "lookup": asdict(lookup) if lookup else None,
    }
