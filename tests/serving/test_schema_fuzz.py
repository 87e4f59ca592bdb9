"""The application against its own OpenAPI document: no request that it describes, or forbids, makes it fail or hang."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

from layers.runtime.predictor import Predictor
from layers.runtime.settings import Settings
from layers.runtime.tasks import TASKS
from layers.serving.application import create_app

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "12"))
MODELS = ("toy", "sentences", "writer")
# Names in a path that exist, among those that do not.
NAMES = {"name": st.sampled_from(["model", "model", "other", "%00"]), "task": st.sampled_from([*TASKS, "none"])}


@pytest.fixture(scope="session")
def api_of(predictors: dict[str, Predictor], writer: Predictor) -> Callable[[str], Any]:
    """The document of an application with that model alone, which writes a few tokens at most."""
    opened: dict[str, Any] = {}

    def open_once(name: str) -> Any:
        if name not in opened:
            chosen = {**predictors, "writer": writer}[name]
            app = create_app({"model": chosen}, Settings(artifact_dir=Path(), max_new_tokens=8))
            opened[name] = schemathesis.openapi.from_asgi("/openapi.json", app)
        return opened[name]

    return open_once


def operations() -> list[tuple[str, str]]:
    """Every method of every path of the document."""
    paths = create_app({}, Settings(artifact_dir=Path())).openapi()["paths"]
    return [(path, method) for path, methods in paths.items() for method in methods]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("path", "method"), operations())
def test_no_request_fails(api_of: Callable[[str], Any], model: str, path: str, method: str) -> None:
    operation = api_of(model)[path][method]
    cases = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
    cases |= operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)
    names = st.fixed_dictionaries({key: values for key, values in NAMES.items() if f"{{{key}}}" in path})

    @settings(max_examples=EXAMPLES, deadline=timedelta(seconds=5), database=None, suppress_health_check=HealthCheck)
    @given(case=cases, names=names)
    def attempt(case: Any, names: dict[str, str]) -> None:
        case.path_parameters = names or case.path_parameters
        answer = case.call()
        assert answer.status_code < 500, answer.text
        if answer.content and "application/json" in answer.headers.get("content-type", [""])[0]:
            json.loads(answer.content, parse_constant=pytest.fail)

    attempt()
