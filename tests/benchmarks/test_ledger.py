"""Every rung of the ledger answers, and answers the same, on the example models; the page says what was measured."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from benchmarks.contest import Result, Standing
from benchmarks.ledger import ANSWERS, NAIVE, QUANTIZED, READING, TUNED, WRITING, Ours, deploy
from benchmarks.ledger_page import chart, section
from benchmarks.ledger_workloads import ROOT, SECTIONS, Workload, prepare_naive, texts
from benchmarks.page import render
from layers.catalogue import ModelSpec
from layers.compiler.build import build


def quiet(*_words: Any) -> None:
    """Builds say what they do."""


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Workload:
    """The example classifier in fp32, which stands in for the quantized one, and what the naive ones read."""
    folder = tmp_path_factory.mktemp("ledger")
    spec = ModelSpec.model_validate(
        {"name": "sections", "source": str(SECTIONS), "task": "text-classification", "precision": "fp32"}
    )
    built = build(spec, ROOT, folder, "x86_64", quiet).directory
    workload = Workload(
        "classify", SECTIONS, spec.task, built, built, 256, traced=folder / "t.onnx", vocabulary=folder / "v.txt"
    )
    prepare_naive(workload)
    return workload


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Workload:
    """The example writer in fp32."""
    source = ROOT / "examples/models/debian-writer"
    spec = ModelSpec.model_validate(
        {"name": "writer", "source": str(source), "task": "text-generation", "precision": "fp32"}
    )
    built = build(spec, ROOT, tmp_path_factory.mktemp("ledger"), "x86_64", quiet).directory
    return Workload("write", source, spec.task, built, built, 512, tokens=12, new_tokens=4)


@pytest.mark.parametrize("rung", READING)
def test_every_rung_finds_the_same_label(classifier: Workload, rung: str) -> None:
    call = deploy(classifier, READING[rung])
    first, second = (_flat(json.loads(call()["body"])) for _ in range(2))
    expected = [_label(classifier, text) for text in islice(texts(classifier), 2)]
    deployment = READING[rung]
    again = isinstance(deployment, Ours) and deployment.again
    assert [first[0]["label"], second[0]["label"]] == ([expected[0]] * 2 if again else expected)


@pytest.mark.parametrize("rung", WRITING)
def test_every_rung_writes_the_same_text(writer: Workload, rung: str) -> None:
    call = deploy(writer, WRITING[rung])
    call()
    answer = _flat(json.loads(call()["body"]))[0]["generated_text"]
    deployment = WRITING[rung]
    again = isinstance(deployment, Ours) and deployment.again
    prompt = next(islice(texts(writer), 0 if again else 1, None))
    expected = _written(writer, prompt)
    assert rung == TUNED or answer.removeprefix(prompt) == expected
    assert answer.removeprefix(prompt).split()


def test_the_kept_answer_is_not_computed_again(classifier: Workload) -> None:
    call = deploy(classifier, READING[ANSWERS])
    call()
    headers = {name.lower(): value for name, value in call()["headers"].items()}
    assert headers["x-cache"] == "hit"


def test_the_page_says_where_a_hundred_is_reached_and_what_could_not_run(tmp_path: Path) -> None:
    case = "classify short texts"
    took = {NAIVE: 300.0, "Rust tokenizer": 290.0, QUANTIZED: 2.0, ANSWERS: 0.5, TUNED: 8.0}
    standings = [Standing(name, {case: Result(ms, ms, ms, 3)}, None, {}) for name, ms in took.items()]
    standings.append(Standing("no padding", {}, "OSError: it broke", {}))
    contest = {"cases": [case], "threads": 2, "standings": [asdict(standing) for standing in standings]}
    machine = {"date": "2026-01-01", "processor": "P", "cores": 2, "python": "3", "versions": {}, "commit": "abc"}
    measured = {"threads": 2, "workloads": {case: contest}}
    (tmp_path / "ledger.json").write_text(json.dumps({**machine, "measured": measured}), encoding="utf-8")
    render(tmp_path, tmp_path / "page.md")
    page = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "100x is reached on requests that are new: 150.0x, and 4.0x over tuned torch" in page
    assert "| no padding | could not run: OSError: it broke" in page
    chart_text = (tmp_path / chart(case)).read_text(encoding="utf-8")
    assert "prefers-color-scheme: dark" in chart_text
    assert "600.0x" in chart_text


@pytest.mark.parametrize(
    ("fresh", "answered", "said"),
    [
        (20.5, 0.5, "20.00 are the tokenizer's and the model's. 100x would leave 3.00 ms for all"),
        (20.5, 0.5, "tokenizer and model would have to be 8.00 times as fast."),
        (20.5, 3.1, "100x would leave 3.00 ms for all: no model would be fast enough."),
        (2.0, 0.5, "100x would leave 3.00 ms for all. Most"),
    ],
)
def test_the_page_says_what_a_hundred_would_leave_for_the_model(fresh: float, answered: float, said: str) -> None:
    case = "classify short texts"
    took = {NAIVE: 300.0, QUANTIZED: fresh, ANSWERS: answered}
    standings = [asdict(Standing(name, {case: Result(ms, ms, ms, 3)}, None, {})) for name, ms in took.items()]
    assert said in section({"workloads": {case: {"standings": standings}}})


def _flat(answer: Any) -> Any:
    while isinstance(answer[0], list):
        answer = answer[0]
    return answer


def _label(workload: Workload, text: str) -> str:
    [best] = _pipeline(workload.task, workload.checkpoint)(text, top_k=1)
    return str(best["label"])


def _written(workload: Workload, prompt: str) -> str:
    pipe = _pipeline(workload.task, workload.checkpoint)
    return str(pipe(prompt, return_full_text=False, **workload.parameters)[0]["generated_text"])


@cache
def _pipeline(task: str, checkpoint: Path) -> Any:
    from transformers import pipeline

    return pipeline(task, model=str(checkpoint), dtype="float32")
