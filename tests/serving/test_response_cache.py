"""Answers from the cache: the same as computed, told apart by everything they depend on, and never what was drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from layers.runtime.predictor import Predictor
from layers.runtime.run import Prediction
from layers.runtime.settings import Settings
from layers.serving.application import create_app
from layers.serving.response_cache import ENTRY_OVERHEAD_BYTES, ResponseCache, response_key
from tests.runtime.generation.toy_decoder import write_toy_decoder
from tests.runtime.toy_artifact import write_toy
from tests.serving.conftest import Serve


def is_hit(answer: Any) -> bool:
    assert answer.status_code == 200, answer.text
    return bool(answer.headers.get("x-cache") == "hit")


@pytest.mark.parametrize(
    ("model", "path", "body"),
    [
        ("toy", "/", {"inputs": "an editor"}),
        ("toy", "/", {"inputs": ["an editor", "tools", ""], "parameters": {"top_k": 2}}),
        ("toy", "/predict", {"inputs": "an editor", "raw_scores": True}),
        ("sentences", "/", {"inputs": "an editor"}),
        ("sentences", "/embed", {"inputs": ["an editor", "tools"]}),
        ("encoder", "/", {"inputs": "an editor for text"}),
    ],
)
def test_a_hit_is_the_same_answer_and_says_so(serve: Serve, model: str, path: str, body: Any) -> None:
    client = serve(model)
    first, second = client.post(path, json=body), client.post(path, json=body)
    assert (is_hit(first), is_hit(second)) == (False, True)
    assert second.content == first.content
    assert second.headers["x-compute-tokens"] == first.headers["x-compute-tokens"]
    assert float(second.headers["x-inference-time"]) == 0


def test_truncation_is_told_of_a_hit_too(serve: Serve) -> None:
    client = serve("toy")
    answers = [client.post("/", json={"inputs": "editor " * 40}) for _ in range(2)]
    assert is_hit(answers[1])
    assert answers[1].headers["x-truncated-tokens"] == answers[0].headers["x-truncated-tokens"] == "10"


@pytest.mark.parametrize("refused", [{"options": {"use_cache": False}}, {"headers": {"x-use-cache": "false"}}])
def test_who_wants_no_cache_neither_reads_nor_writes_it(serve: Serve, refused: dict[str, Any]) -> None:
    client = serve("toy")
    headers = refused.get("headers", {})
    body = {"inputs": "an editor", **({"options": refused["options"]} if "options" in refused else {})}
    assert not is_hit(client.post("/", json=body, headers=headers))
    assert not is_hit(client.post("/", json={"inputs": "an editor"}))
    assert not is_hit(client.post("/", json=body, headers=headers))


def test_parameters_are_the_same_in_any_order(serve: Serve) -> None:
    client = serve("toy")
    client.post("/", json={"inputs": "an editor", "parameters": {"top_k": 1, "function_to_apply": "none"}})
    other = {"parameters": {"function_to_apply": "none", "top_k": 1}, "inputs": "an editor"}
    assert is_hit(client.post("/", json=other))
    assert is_hit(client.post("/models/toy", json={"inputs": "an editor", "function_to_apply": "none", "top_k": 1}))


def settings_of(**values: int) -> Settings:
    return Settings(artifact_dir=Path(), **values)  # type: ignore[arg-type]


def test_a_key_tells_apart_whatever_changes_an_answer(predictors: dict[str, Predictor]) -> None:
    settings = settings_of()
    toy, sentences = predictors["toy"], predictors["sentences"]
    asked: list[tuple[Any, ...]] = [
        (toy, None, "a", {}, settings),
        (sentences, None, "a", {}, settings),
        (sentences, "embed", "a", {}, settings),
        (toy, None, ["a"], {}, settings),
        (toy, None, ["a", "b"], {}, settings),
        (toy, None, ["b", "a"], {}, settings),
        (toy, None, "a", {"top_k": 1}, settings),
        (toy, None, "a", {"top_k": 1.0}, settings),
        (toy, None, "a", {"top_k": True}, settings),
        (toy, None, "a", {"top_k": "1"}, settings),
        (toy, None, "a", {"top_k": None}, settings),
        (toy, None, "a", {}, settings_of(max_batch_size=16)),
        # What is written where nobody said how much depends on the memory that others leave.
        (toy, None, "a", {}, settings_of(kv_cache_bytes=2**20)),
        (toy, None, "a", {}, settings_of(max_generations=9)),
    ]
    assert len({response_key(*question) for question in asked}) == len(asked)
    assert response_key(*asked[0]) == response_key(toy, "text-classification", "a", {}, settings)


def test_what_is_nested_too_deeply_has_no_key(predictors: dict[str, Predictor]) -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert response_key(predictors["toy"], None, deep, {}, settings_of()) is None
    while deep:  # taken apart here, since Python would recurse to do it
        deep = deep.pop()


def test_a_batch_on_a_variant_whose_rows_depend_on_each_other(tmp_path: Any) -> None:
    """It runs one text a call, so the same batch is the same answer."""
    predictor = Predictor.load(write_toy(tmp_path / "toy", row_independent=False).directory, threads=1)
    client = TestClient(create_app({"toy": predictor}, Settings(artifact_dir=tmp_path)))
    body = {"inputs": ["an editor", "networking tools for python"]}
    first, second = client.post("/", json=body), client.post("/", json=body)
    assert is_hit(second)
    fresh = client.post("/", json={**body, "options": {"use_cache": False}})
    assert first.content == second.content == fresh.content
    assert not is_hit(client.post("/", json={"inputs": body["inputs"][:1]})), "no text is taken out of a batch"


def test_zero_bytes_keep_nothing(serve: Serve) -> None:
    client = serve("toy", response_cache_bytes=0)
    assert not any(is_hit(client.post("/", json={"inputs": "an editor"})) for _ in range(2))
    assert client.get("/info").json()["caches"]["responses"] == {"hits": 0, "misses": 0, "bytes": 0, "entries": 0}


def test_refusals_are_not_kept(serve: Serve) -> None:
    client = serve("toy")
    assert [client.post("/", json={"inputs": []}).status_code for _ in range(2)] == [422, 422]
    assert client.get("/info").json()["caches"]["responses"]["entries"] == 0


def test_what_was_used_longest_ago_goes_first() -> None:
    one = ResponseCache(10**6)
    one.keep("a", prediction("a"))
    size = one.reports()["responses"].bytes
    assert size > ENTRY_OVERHEAD_BYTES
    cache = ResponseCache(2 * size)
    for key in ("a", "b"):
        cache.keep(key, prediction(key))
    cache.find("a")
    cache.keep("c", prediction("c"))
    assert [cache.find(key) is not None for key in "abc"] == [True, False, True]
    assert cache.reports()["responses"].bytes == 2 * size


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=20,
)  # fmt: skip


@given(value=JSON)
def test_what_is_kept_comes_back_to_the_last_bit(value: Any) -> None:
    cache = ResponseCache(10**6)
    cache.keep("key", prediction(value))
    found = cache.find("key")
    assert found is not None
    assert repr(found.value) == repr(value)
    assert found.from_cache


def prediction(value: Any) -> Prediction:
    return Prediction(value, 1, 0, 0.1, 0.1, 0.1)


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    """A model that writes."""
    directory = tmp_path_factory.mktemp("writer") / "writer"
    write_toy_decoder(directory)
    predictor = Predictor.load(directory, threads=1)
    return TestClient(create_app({predictor.manifest.name: predictor}, Settings(artifact_dir=directory)))


@pytest.mark.parametrize(
    ("parameters", "kept"),
    [
        ({}, True),
        ({"num_beams": 2}, True),
        ({"do_sample": True, "seed": 3}, True),
        ({"temperature": 0.7, "seed": 3, "best_of": 2}, True),
        ({"do_sample": True}, False),
        ({"temperature": 0.7}, False),
        ({"do_sample": True, "num_return_sequences": 2}, False),
        ({"temperature": 0.7, "best_of": 2}, False),
    ],
)
def test_what_was_drawn_without_a_seed_is_never_kept(
    writer: TestClient, parameters: dict[str, Any], kept: bool
) -> None:
    body = {"inputs": f"a text {parameters}", "parameters": {"max_new_tokens": 3, **parameters}}
    first, second = writer.post("/", json=body), writer.post("/", json=body)
    assert is_hit(second) is kept
    if kept:
        assert second.content == first.content
        assert second.headers["x-generated-tokens"] == first.headers["x-generated-tokens"]


@pytest.mark.parametrize(("day", "kept"), [("{{ strftime_now('%d %b %Y') }}", False), ("today", True)])
def test_a_chat_whose_template_tells_the_day_is_not_kept(tmp_path: Path, day: str, kept: bool) -> None:
    toy = write_toy_decoder(tmp_path / "writer", chat_template=day + "{{ messages[0].content }}")
    predictors = {"writer": Predictor.load(toy.directory, threads=1)}
    client = TestClient(create_app(predictors, Settings(artifact_dir=tmp_path)))
    body = {"messages": [{"role": "user", "content": "an editor"}], "temperature": 0, "max_tokens": 3}
    answers = [client.post("/v1/chat/completions", json=body) for _ in range(2)]
    assert [is_hit(answer) for answer in answers] == [False, kept]
