"""Headers that say what an answer took, and numbers that JSON cannot carry."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from layers.artifact import Variant
from layers.runtime.predictor import Predictor, load_predictors
from layers.runtime.settings import Settings
from layers.serving.answers import json_answer
from layers.serving.application import create_app
from tests.runtime.toy_artifact import Toy
from tests.serving.conftest import Serve


def test_truncation_is_never_silent(serve: Serve) -> None:
    client = serve("toy")
    assert "x-truncated-tokens" not in client.post("/", json={"inputs": "an editor"}).headers
    answer = client.post("/", json={"inputs": ["editor " * 40, "editor " * 35]})
    assert answer.headers["x-truncated-tokens"] == str(10 + 5)
    assert answer.headers["x-compute-tokens"] == "64"


def test_truncation_can_be_refused(serve: Serve) -> None:
    client = serve("toy")
    for body in ({"truncate": False}, {"parameters": {"truncate": False}}):
        answer = client.post("/", json={"inputs": "editor " * 40, **body})
        assert answer.status_code == 422
        assert "got 42 tokens, the model takes 32" in answer.json()["error"]


def test_times_are_told(serve: Serve) -> None:
    headers = serve("toy").post("/", json={"inputs": "an editor"}).headers
    parts = float(headers["x-tokenization-time"]) + float(headers["x-inference-time"])
    assert 0 < parts <= float(headers["x-compute-time"]) <= float(headers["x-total-time"])


@pytest.mark.parametrize("value", [float("nan"), [float("inf")], {"score": float("-inf")}])
def test_what_json_cannot_carry_is_not_sent(value: object) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_answer(value)


def test_the_word_nan_may_be_sent() -> None:
    assert json_answer({"label": "NaN and Infinity"}).body == b'{"label":"NaN and Infinity"}'


def test_all_tokens_of_a_request_have_a_limit(artifacts: dict[str, Toy]) -> None:
    settings = Settings(artifact_dir=artifacts["toy"].directory, max_request_tokens=40, max_input_tokens=12)
    client = TestClient(create_app(load_predictors(settings.artifact_dir, **settings.load_options()), settings))
    info = client.get("/info").json()
    assert (info["max_request_tokens"], info["max_input_length"]) == (40, 12)
    answer = client.post("/", json={"inputs": ["editor " * 40] * 3})
    assert (answer.status_code, answer.headers["x-compute-tokens"]) == (200, "36")
    refused = client.post("/", json={"inputs": ["editor " * 40] * 4})
    assert refused.status_code == 422
    assert "got 48 in all inputs, expected at most 40" in refused.json()["error"]


class OnACard(Predictor):
    """A predictor whose variant says that it is a card's."""

    @property
    def variant(self) -> Variant:
        return super().variant.model_copy(update={"exact_on": ("cuda",)})


def test_answers_say_what_computed_them(predictors: dict[str, Predictor], artifacts: dict[str, Toy]) -> None:
    on_card = OnACard(predictors["toy"].engine)
    for predictor, said in ((predictors["toy"], "cpu"), (on_card, "gpu")):
        client = TestClient(create_app({"toy": predictor}, Settings(artifact_dir=artifacts["toy"].directory)))
        assert client.post("/", json={"inputs": "an editor"}).headers["x-compute-type"] == said
