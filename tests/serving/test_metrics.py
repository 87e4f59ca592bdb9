"""The counts, read by Prometheus' own parser: what was asked, how it was answered, and what it took."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from layers.runtime.predictor import Predictor
from layers.runtime.settings import Settings
from layers.serving.application import create_app
from tests.runtime.generation.toy_decoder import write_toy_decoder
from tests.serving.conftest import Serve

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(client: TestClient) -> Samples:
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.text.endswith("\n")
    families = list(text_string_to_metric_families(answer.text))
    assert all(family.documentation and family.type != "unknown" for family in families)
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def value(samples: Samples, name: str, **labels: str) -> float:
    """The one sample of this name that has these labels among others; 0 where there is none."""
    found = [number for (known, own), number in samples.items() if known == name and own >= set(labels.items())]
    assert len(found) <= 1, f"{name} {labels}: {found}"
    return found[0] if found else 0.0


def test_requests_are_counted_by_route_model_task_and_status(serve: Serve) -> None:
    client = serve("toy", "sentences")
    client.post("/models/toy", json={"inputs": "an editor"})
    client.post("/models/sentences/pipeline/sentence-similarity", json={"inputs": "wrong"})
    client.post("/models/sentences/pipeline/whatever-a-caller-writes", json={"inputs": "a"})
    client.post("/embed", json={"inputs": "an editor"})
    client.get("/whatever-a-caller-writes")
    client.post("/models/nobody", json={"inputs": "a"})
    client.get("/embed")
    samples = scrape(client)
    name = "hundredfold_requests_total"
    toy = {"route": "/models/{name}", "model": "toy", "task": "text-classification"}
    assert value(samples, name, **toy, status="200") == 1
    similarity = {"model": "sentences", "task": "sentence-similarity", "status": "422"}
    assert value(samples, name, route="/models/{name}/pipeline/{task}", **similarity) == 1
    assert value(samples, name, model="sentences", task="", status="404") == 1
    assert value(samples, name, route="/embed", task="embed", status="200") == 1
    assert value(samples, name, route="none", status="404") == 1
    assert value(samples, name, route="/models/{name}", model="", status="404") == 1
    assert value(samples, name, route="/embed", status="405") == 1
    assert not any("whatever" in text for _, labels in samples for _, text in labels), "callers make no labels"


def test_stages_tokens_and_texts_are_counted(serve: Serve) -> None:
    client = serve("toy")
    client.post("/", json={"inputs": ["an editor", "editor " * 40, "a"]})
    samples = scrape(client)
    for stage in ("queue", "tokenization", "inference", "total"):
        labels = {"stage": stage, "model": "toy", "task": "text-classification"}
        assert value(samples, "hundredfold_stage_seconds_count", **labels) == 1
        assert value(samples, "hundredfold_stage_seconds_bucket", **labels, le="+Inf") == 1
    assert value(samples, "hundredfold_stage_seconds_sum", stage="inference") > 0
    assert value(samples, "hundredfold_request_texts_bucket", le="2") == 0
    assert value(samples, "hundredfold_request_texts_bucket", le="4") == 1
    assert value(samples, "hundredfold_request_texts_sum", model="toy") == 3
    assert value(samples, "hundredfold_tokens_total", kind="truncated") == 10
    assert value(samples, "hundredfold_truncated_requests_total", model="toy") == 1
    assert value(samples, "hundredfold_tokens_total", kind="in") > 32


def test_every_cache_is_counted(serve: Serve) -> None:
    client = serve("toy")
    before = scrape(client)
    for _ in range(3):
        client.post("/", json={"inputs": "a text that only this test sends"})
    after = scrape(client)
    responses = {"model": "toy", "cache": "responses"}
    assert value(after, "hundredfold_cache_hits_total", **responses) == 2
    assert value(after, "hundredfold_cache_misses_total", **responses) == 1
    assert value(after, "hundredfold_cache_entries", **responses) == 1
    assert value(after, "hundredfold_cache_bytes", **responses) > 500
    encodings = {"model": "toy", "cache": "encodings"}
    name = "hundredfold_cache_misses_total"
    assert value(after, name, **encodings) - value(before, name, **encodings) == 1
    assert value(after, "hundredfold_stage_seconds_count", stage="inference") == 1, "a hit infers nothing"
    assert value(after, "hundredfold_stage_seconds_count", stage="queue") == 3


def test_what_is_served_is_told(serve: Serve) -> None:
    samples = scrape(serve("toy", "sentences"))
    assert value(samples, "hundredfold_model_info", model="toy", variant="fp32", task="text-classification") == 1
    assert value(samples, "hundredfold_requests_in_flight") == 1


def test_a_defect_is_counted_as_500(serve: Serve) -> None:
    client = serve("broken")
    assert client.post("/", json={"inputs": "an editor"}).status_code == 500
    assert value(scrape(client), "hundredfold_requests_total", route="/", model="broken", status="500") == 1


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    """A model that writes."""
    directory = tmp_path_factory.mktemp("writer") / "writer"
    write_toy_decoder(directory)
    predictor = Predictor.load(directory, threads=1)
    return TestClient(create_app({predictor.manifest.name: predictor}, Settings(artifact_dir=directory)))


@pytest.mark.parametrize("stream", [False, True])
def test_what_is_written_is_counted_streamed_or_not(writer: TestClient, stream: bool) -> None:
    def counted() -> tuple[float, float, float]:
        samples = scrape(writer)
        first = value(samples, "hundredfold_stage_seconds_count", stage="first_token")
        kinds = (value(samples, "hundredfold_tokens_total", kind=kind) for kind in ("in", "out"))
        return (first, *kinds)  # type: ignore[return-value]

    before = counted()
    body: dict[str, Any] = {"inputs": "an editor for", "parameters": {"max_new_tokens": 5}, "stream": stream}
    answer = writer.post("/", json=body)
    assert answer.status_code == 200
    first, read, written = (after - earlier for after, earlier in zip(counted(), before, strict=True))
    assert first == stream
    assert 0 < read < 10
    assert 0 < written <= 5
