"""The page as a document: who gets it, what it may do, and that nothing in it becomes markup."""

from __future__ import annotations

import json
import re
import tomllib
from base64 import b64encode
from fnmatch import fnmatch
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from layers.artifact import Golden, Verdict
from layers.runtime.engine import Engine
from layers.runtime.predictor import Predictor
from layers.runtime.tasks import TASKS
from layers.serving.accept import wants_html
from layers.serving.playground.card import examples, reads_pairs, verdict
from layers.serving.playground.page import embedded, playground
from tests.runtime.toy_artifact import Toy, write_toy
from tests.serving.conftest import Serve

ROOT = Path(__file__).parents[2]
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


def data_of(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    return dict(json.loads(found[1]))


def with_golden(toy: Toy, text: str) -> Predictor:
    """The model, with a golden input."""
    engine = Engine.load(toy.directory, threads=1)
    golden = Golden(inputs=text, outputs=[], tolerance=0.1)
    engine.manifest = engine.manifest.model_copy(update={"goldens": (golden,)})
    return Predictor(engine)


@pytest.mark.parametrize("accept", [BROWSER, "text/html", "application/json, Text/HTML;q=0.2"])
def test_who_accepts_html_gets_the_page(serve: Serve, accept: str) -> None:
    answer = serve("toy").get("/", headers={"accept": accept})
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert data_of(answer.text)["models"][0]["name"] == "toy"


@pytest.mark.parametrize(
    "accept", [None, "*/*", "application/json", "text/html;q=0, */*", "text/*", "application/text/html"]
)
def test_everybody_else_gets_json(serve: Serve, accept: str | None) -> None:
    answer = serve("toy").get("/", headers={"accept": accept or ""})
    assert answer.json()["models"]["toy"]["task"] == "text-classification"


def test_a_wish_is_read_as_http_says() -> None:
    assert wants_html("application/json;q=0.9 , text/html; charset=utf-8")
    assert not wants_html("text/html; q=0")
    assert not wants_html("text/htmlx")


def test_the_page_may_only_run_what_it_came_with(serve: Serve) -> None:
    answer = serve("toy").get("/", headers={"accept": BROWSER})
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    for tag, directive in (("style", "style-src"), ("script", "script-src")):
        [content] = re.findall(rf"<{tag}>(.*?)</{tag}>", answer.text, re.DOTALL)
        assert policy[directive] == f"'sha256-{b64encode(sha256(content.encode()).digest()).decode()}'"
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["connect-src"] == "'self'"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert not re.search(r"(?:src|href)=[\"']?(?:https?:)?//", answer.text), "everything comes from the application"


def test_no_text_of_a_model_becomes_markup(artifacts: dict[str, Toy]) -> None:
    hostile = "</script><script>alert(1)</script><!--&amp;"
    page = bytes(playground({"toy": with_golden(artifacts["toy"], hostile)}).body).decode()
    assert "<script>alert(1)" not in page
    assert page.count("<script") == 2
    assert data_of(page)["models"][0]["examples"]["text-classification"][0]["inputs"] == hostile


def test_what_is_embedded_comes_back() -> None:
    value = {"text": "</script> <!-- & \u2028 é 🎓 \ud800"}
    assert json.loads(embedded(value)) == value
    assert not set("<>&") & set(embedded(value))


def test_the_card_says_what_is_served(serve: Serve, predictors: dict[str, Predictor]) -> None:
    data = data_of(serve("toy", "sentences").get("/", headers={"accept": BROWSER}).text)
    assert [model["name"] for model in data["models"]] == ["toy", "sentences"]
    card = dict(data["models"][0]["card"])
    assert card["Variant"] == "fp32"
    assert card["Source"] == predictors["toy"].manifest.source.location
    assert card["Longest input"] == "32 tokens"
    assert dict(data["models"][1]["card"])["Embedding"] == "8 dimensions, mean pooling"


def test_what_was_lost_is_told_with_its_interval(predictors: dict[str, Predictor]) -> None:
    quantized = predictors["toy"].engine.variant.model_copy(update={"precision": "int8"})
    found = Verdict(
        metric="accuracy", value=0.868, reference=0.87, drop=0.0023, max_drop=0.005, n=711,
        interval=(-0.001, 0.0048), distinguishable=False, passed=True,
    )  # fmt: skip
    [(value, words), (drop, about)] = verdict(found, quantized)
    assert (value, drop) == ("0.8680", "0.23%")
    assert "711 examples; fp32 has 0.8700" in words
    assert "-0.10% to 0.48%, at most 0.50%" in about


def test_goldens_are_the_examples_where_there_are_some(artifacts: dict[str, Toy]) -> None:
    manifest = with_golden(artifacts["toy"], "an editor").manifest
    assert examples("text-classification", manifest, None) == [{"inputs": "an editor", "parameters": {}}]
    assert examples("rerank", manifest, None)[0]["inputs"]["query"]


@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_examples_and_a_form(task: str, predictors: dict[str, Predictor]) -> None:
    assert examples(task, predictors["toy"].manifest, "<mask>")
    forms = (ROOT / "layers/serving/playground/tasks.js").read_text(encoding="utf-8")
    assert re.search(rf'^  "?{task}"?: ', forms, re.MULTILINE)


def test_every_file_of_the_page_is_packaged() -> None:
    packaged = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"][
        "package-data"
    ]
    patterns = packaged["layers.serving.playground"]
    for path in (ROOT / "layers/serving/playground").iterdir():
        assert path.suffix == ".py" or path.is_dir() or any(fnmatch(path.name, pattern) for pattern in patterns), path


def test_a_second_text_is_asked_for_where_two_are_read(predictors: dict[str, Predictor], tmp_path: Path) -> None:
    assert not reads_pairs(predictors["toy"])
    assert not reads_pairs(predictors["sentences"])
    ranker = Predictor.load(write_toy(tmp_path / "ranker", labels=("relevance",)).directory, threads=1)
    assert "rerank" in ranker.tasks
    assert reads_pairs(ranker)
