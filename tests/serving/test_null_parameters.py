"""A null is as good as nothing: clients that fill in their schemas send one for every parameter that nobody set."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from layers.runtime.predictor import Predictor
from layers.runtime.settings import Settings
from layers.runtime.tasks.completion import CompletionParameters
from layers.runtime.tasks.task import StrictParameters
from layers.runtime.tasks.text_classification import ClassificationParameters
from layers.runtime.tasks.text_generation import TextGenerationParameters
from layers.runtime.tasks.zero_shot_classification import ZeroShotParameters
from layers.serving.application import create_app
from layers.serving.openai_bodies import EmbeddingBody, Prediction, TextPart
from tests.runtime.toy_artifact import write_toy

MESSAGES = [{"role": "user", "content": "hi"}]
# By path, the model that answers and the least that it is asked; with top_k 1 nothing is left to chance.
ASKED: dict[str, tuple[str, dict[str, Any]]] = {
    "/": ("toy", {"inputs": "an editor"}),
    "/models/{name}": ("toy", {"inputs": "an editor"}),
    "/models/{name}/pipeline/{task}": ("toy", {"inputs": "an editor"}),
    "/predict": ("toy", {"inputs": "an editor"}),
    "/rerank": ("ranks", {"query": "an editor", "texts": ["an editor", "net"]}),
    "/embed": ("encoder", {"inputs": "an editor"}),
    "/embed_all": ("encoder", {"inputs": "an editor"}),
    "/similarity": ("encoder", {"inputs": {"source_sentence": "an editor", "sentences": ["net"]}}),
    "/tokenize": ("toy", {"inputs": "an editor"}),
    "/decode": ("toy", {"ids": [3, 4]}),
    "/generate": ("writer", {"inputs": "a"}),
    "/generate_stream": ("writer", {"inputs": "a"}),
    "/v1/embeddings": ("encoder", {"input": "an editor"}),
    "/models/{name}/v1/embeddings": ("encoder", {"input": "an editor"}),
    "/v1/completions": ("writer", {"prompt": "a", "top_k": 1}),
    "/models/{name}/v1/completions": ("writer", {"prompt": "a", "top_k": 1}),
    "/v1/chat/completions": ("writer", {"messages": MESSAGES, "top_k": 1}),
    "/models/{name}/v1/chat/completions": ("writer", {"messages": MESSAGES, "top_k": 1}),
}
# What cannot be left out, and where null is a value of its own: of labels every one, of tokens what fits.
REQUIRED: dict[type[StrictParameters], dict[str, Any]] = {
    ZeroShotParameters: {"candidate_labels": ["a"]},
    EmbeddingBody: {"input": "a"},
    Prediction: {"type": "content", "content": "a"},
    TextPart: {"type": "text", "text": "a"},
}
SAYS_SOMETHING = {(ClassificationParameters, "top_k"), (CompletionParameters, "max_tokens")}


@pytest.fixture(scope="module")
def clients(
    predictors: dict[str, Predictor], writer: Predictor, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, TestClient]:
    """An application for each model, which writes a few tokens at most."""
    settings = Settings(artifact_dir=Path("unused"))
    ranks = Predictor.load(write_toy(tmp_path_factory.mktemp("ranks") / "ranks", labels=("relevance",)).directory)
    models = {"toy": predictors["toy"], "encoder": predictors["encoder"], "writer": writer, "ranks": ranks}
    return {name: TestClient(create_app({"model": model}, settings)) for name, model in models.items()}


def body_of(operation: Any) -> Any:
    return operation["requestBody"]["content"]["application/json"]["schema"]


def documented() -> Iterator[tuple[str, str]]:
    """Every property of every body in the document that may be left out."""
    for path, methods in create_app({}, Settings(artifact_dir=Path())).openapi()["paths"].items():
        if "post" in methods:
            schema = body_of(methods["post"])
            yield from ((path, name) for name in schema["properties"] if name not in schema["required"])


def answered(client: TestClient, path: str, body: Any) -> Any:
    answer = client.post(path.format(name="model", task="text-classification"), json=body)
    assert answer.status_code == 200, answer.text
    if not answer.headers["content-type"].startswith("application/json"):
        return answer.text
    content = answer.json()
    return content if isinstance(content, list) else {**content, "id": None, "created": None}


@pytest.mark.parametrize(("path", "name"), list(documented()))
def test_a_property_of_the_document(clients: dict[str, TestClient], path: str, name: str) -> None:
    model, body = ASKED[path]
    assert answered(clients[model], path, {**body, name: None}) == answered(clients[model], path, body)


@pytest.mark.parametrize("path", ["/", "/generate", "/generate_stream"])
def test_every_parameter_of_text_generation_at_once(clients: dict[str, TestClient], path: str) -> None:
    names = [*TextGenerationParameters.model_fields]
    asked = [{"inputs": "a", "parameters": parameters} for parameters in ({}, dict.fromkeys(names))]
    asked += [{"inputs": "a", "parameters": None, "stream": None}, {"inputs": "a", **dict.fromkeys(names)}]
    asked += [{"inputs": "a", "options": {"use_cache": None}}]
    first, *others = (answered(clients["writer"], path, body) for body in asked)
    assert others == [first] * len(others)


def test_null_in_one_place_and_a_value_in_the_other(clients: dict[str, TestClient]) -> None:
    asked = answered(clients["writer"], "/", {"inputs": "a", "parameters": {"max_new_tokens": 2}})
    for at_root, below in ((None, 2), (2, None)):
        body = {"inputs": "a", "max_new_tokens": at_root, "parameters": {"max_new_tokens": below}}
        assert answered(clients["writer"], "/", body) == asked


def test_null_is_a_value_where_the_page_says_so(clients: dict[str, TestClient]) -> None:
    [few], [every] = (
        answered(clients["toy"], "/", {"inputs": "an editor", "parameters": parameters})
        for parameters in ({"top_k": 1}, {"top_k": None})
    )
    assert (len(few), len(every)) == (1, 4)


def test_an_unknown_name_is_refused_with_null_too(clients: dict[str, TestClient]) -> None:
    error = clients["toy"].post("/", json={"inputs": "a", "topk": None}).json()["error"]
    assert "unknown parameter 'topk'" in error


def schemas(of: type[StrictParameters] = StrictParameters) -> Iterator[type[StrictParameters]]:
    for schema in of.__subclasses__():
        yield schema
        yield from schemas(schema)


FIELDS = [
    (schema, name)
    for schema in schemas()
    for name in schema.model_fields
    if name not in REQUIRED.get(schema, {}) and (schema, name) not in SAYS_SOMETHING
]


@pytest.mark.parametrize(("schema", "name"), FIELDS, ids=lambda part: getattr(part, "__name__", part))
def test_a_parameter_of_a_task(schema: type[StrictParameters], name: str) -> None:
    required = REQUIRED.get(schema, {})
    assert schema.read({**required, name: None}) == schema.read(required)
