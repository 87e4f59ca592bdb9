"""Several artifacts in one process: what is loaded when, and that answers do not depend on it."""

from __future__ import annotations

import gc
import json
import shutil
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from layers.artifact import MANIFEST, Manifest
from layers.errors import ArtifactError, InputError
from layers.runtime.group import PredictorGroup, default_budget_bytes, model_bytes, open_predictors
from layers.runtime.predictor import Predictor
from layers.runtime.request import Request
from layers.runtime.run import Prediction
from layers.runtime.settings import Settings
from layers.runtime.together import TogetherPredictor
from layers.serving.application import create_app
from tests.runtime.generation.toy_decoder import write_toy_decoder
from tests.runtime.toy_artifact import Toy

TEXT = "an editor for text"


@pytest.fixture
def folder(toy: Toy, encoder: Toy, sentences: Toy, tmp_path: Path) -> Path:
    """Three artifacts side by side."""
    for artifact in (toy, encoder, sentences):
        shutil.copytree(artifact.directory, tmp_path / artifact.directory.name)
    return tmp_path


def open_group(folder: Path, budget_bytes: int | None = None) -> PredictorGroup:
    group = open_predictors(folder, budget_bytes=budget_bytes, threads=1)
    assert isinstance(group, PredictorGroup)
    return group


def loaded(group: PredictorGroup) -> list[str]:
    return [name for name, member in group.items() if member.engine_in_memory is not None]


def test_one_artifact_is_loaded_at_once(toy: Toy) -> None:
    [predictor] = open_predictors(toy.directory, threads=1).values()
    assert predictor.engine_in_memory is not None


def test_a_model_is_loaded_when_it_is_first_asked(folder: Path, toy: Toy) -> None:
    group = open_group(folder)
    assert list(group) == ["encoder", "sentences", "toy"]
    alone = Predictor.load(toy.directory, threads=1)
    member = group["toy"]
    for known in ("manifest", "tasks", "variant", "threads", "limits"):
        assert getattr(member, known) == getattr(alone, known)
    assert (loaded(group), group.loads.take()[0]) == ([], 0)
    assert member.predict(TEXT).value == alone.predict(TEXT).value
    assert (loaded(group), group.loads.take()[0]) == (["toy"], 1)
    member.predict(TEXT)
    assert group.loads.take() == (0, 0.0)


def test_threads_are_those_that_a_session_will_have(folder: Path) -> None:
    manifest = json.loads((folder / "toy" / MANIFEST).read_text(encoding="utf-8"))
    manifest["variants"][0]["session"] = {"threads": 1, "spinning": True}
    Manifest.model_validate(manifest).write(folder / "toy")
    member = open_predictors(folder)["toy"]
    known_before = member.threads
    assert known_before == member.engine.threads == 1


def test_a_model_given_up_frees_its_session_and_answers_the_same_when_it_is_back(folder: Path) -> None:
    group = open_group(folder, max(model_bytes(member.manifest) for member in open_group(folder).values()))
    before = group["toy"].predict(TEXT).value
    session = weakref.ref(group["toy"].engine)
    group["encoder"].predict(TEXT)
    gc.collect()
    assert (loaded(group), session()) == (["encoder"], None)
    assert group["toy"].cache_reports() == {}
    assert group["toy"].predict(TEXT).value == before
    assert group.loads.take()[0] == 3


def test_first_requests_at_once_load_once(folder: Path) -> None:
    group = open_group(folder)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: group["toy"].predict(TEXT).value, range(32)))
    assert (answers, group.loads.take()[0]) == ([answers[0]] * 32, 1)


def test_requests_answered_together_load_the_model_too(folder: Path, toy: Toy) -> None:
    group = open_group(folder, 0)
    requests = [Request(TEXT), Request("other"), Request(TEXT)]
    alone = TogetherPredictor(Predictor.load(toy.directory, threads=1)).predict(requests)
    together = TogetherPredictor(group["toy"]).predict(requests)
    assert [one.value for one in together if isinstance(one, Prediction)] == [
        one.value for one in alone if isinstance(one, Prediction)
    ]
    assert len(together) == len(alone) == group.loads.take()[0] + 2
    assert loaded(group) == []


def test_a_model_is_in_use_until_its_stream_ends_or_is_closed(toy: Toy, tmp_path: Path) -> None:
    writer = write_toy_decoder(tmp_path / "writer").directory
    shutil.copytree(toy.directory, tmp_path / "toy")
    group, alone = open_group(tmp_path, 0), Predictor.load(writer, threads=1)
    member = group[alone.manifest.name]
    parameters = {"max_new_tokens": 4, "do_sample": False}
    expected = [event.text for event in alone.predict_stream("an", parameters)]
    for take in (0, 1, 100):
        stream = member.predict_stream("an", parameters)
        taken = [event.text for event, _ in zip(stream, range(take), strict=False)]
        group["toy"].predict(TEXT)
        assert take == 100 or loaded(group) == [member.manifest.name]
        stream.close()
        assert taken == expected[:take]
        assert loaded(group) == []
    with pytest.raises(InputError, match="cannot be streamed"):
        group["toy"].predict_stream(TEXT)
    assert loaded(group) == []


def test_an_application_tells_of_models_without_loading_them(folder: Path) -> None:
    group = open_group(folder)
    client = TestClient(create_app(group, Settings(artifact_dir=folder)))
    info = client.get("/info").json()["models"]
    assert {name: facts["task"] for name, facts in info.items()} == {
        name: member.manifest.task for name, member in group.items()
    }
    for path in ("/", "/health", "/metrics", "/report", "/v1/models", "/models/toy"):
        client.get(path)
    assert "sentences" in client.get("/", headers={"accept": "text/html"}).text
    assert loaded(group) == []
    assert client.post("/models/toy", json={"inputs": TEXT}).status_code == 200
    assert loaded(group) == ["toy"]


def test_two_artifacts_of_a_name_are_refused(toy: Toy, tmp_path: Path) -> None:
    for name in ("one", "two"):
        shutil.copytree(toy.directory, tmp_path / name)
    with pytest.raises(ArtifactError, match=r"another artifact .* named 'toy'"):
        open_group(tmp_path)


def test_an_artifact_that_cannot_be_loaded_fails_its_own_requests_only(folder: Path) -> None:
    group = open_group(folder)
    (folder / "encoder" / "tokenizer.json").unlink()
    with pytest.raises(ArtifactError, match=r"tokenizer\.json is missing"):
        group["encoder"].predict(TEXT)
    assert group["toy"].predict(TEXT).value


def test_the_process_keeps_memory_for_itself() -> None:
    assert default_budget_bytes(512 * 2**20) == 320 * 2**20
    assert default_budget_bytes(100) == 0
