"""Applications over small artifacts, called through a real client."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from layers.runtime.predictor import Predictor
from layers.runtime.settings import Settings
from layers.serving.application import create_app
from tests.runtime.generation.toy_decoder import write_toy_decoder
from tests.runtime.toy_artifact import Toy, write_toy

Serve = Callable[..., TestClient]

CHAT_TEMPLATE = """{%- if messages[0].role not in ["system", "user"] -%}
  {{ raise_exception("a chat starts with system or user") }}
{%- endif -%}
{%- for message in messages -%}
  {{ bos_token }}{{ message.role }}: {{ message.content | trim }}
{% endfor -%}
{%- if add_generation_prompt -%}assistant:{%- endif -%}"""


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Toy]:
    """A classifier, a bare encoder, one with stated pooling, and a classifier that answers NaN."""
    folder = tmp_path_factory.mktemp("serving")
    pooling = {"mode": "mean", "normalize": False, "stated": True, "dimension": 8, "prompts": {"query": "search for "}}
    return {
        "toy": write_toy(folder / "toy"),
        "encoder": write_toy(folder / "encoder", name="encoder", task="feature-extraction"),
        "sentences": write_toy(folder / "sentences", name="sentences", task="feature-extraction", pooling=pooling),
        "broken": write_toy(folder / "broken", name="broken", bias=float("nan")),
    }


@pytest.fixture(scope="session")
def predictors(artifacts: dict[str, Toy]) -> dict[str, Predictor]:
    """Loaded once; the one that answers NaN cannot warm up, so it is made without."""
    from layers.runtime.engine import Engine

    return {name: Predictor(Engine.load(toy.directory, threads=1)) for name, toy in artifacts.items()}


@pytest.fixture(scope="session")
def writer_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artifact of a model that writes, and knows how to chat."""
    return write_toy_decoder(tmp_path_factory.mktemp("writer") / "writer", chat_template=CHAT_TEMPLATE).directory


@pytest.fixture(scope="session")
def writer(writer_directory: Path) -> Predictor:
    """That model, loaded."""
    return Predictor.load(writer_directory, threads=1)


@pytest.fixture
def serve(predictors: dict[str, Predictor], artifacts: dict[str, Toy]) -> Serve:
    """`serve("toy", ...)` gives a client of an application with those models."""

    def client(*names: str, **limits: int) -> TestClient:
        settings = Settings(artifact_dir=artifacts["toy"].directory, **limits)  # type: ignore[arg-type]
        app = create_app({name: predictors[name] for name in names}, settings)
        return TestClient(app, raise_server_exceptions=True)

    return client
