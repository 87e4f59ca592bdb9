"""An artifact that an earlier release built is served by this one, with the answers it gave then."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from functions.check.answers import difference
from layers.artifact import MANIFEST, SCHEMA_VERSION, Manifest
from layers.errors import ArtifactError
from layers.runtime.predictor import load_predictors
from layers.runtime.settings import Settings
from layers.serving.application import create_app

KEPT = Path(__file__).parents[1] / "data" / "kept-classifier"


def test_it_is_served_with_the_answers_of_then() -> None:
    manifest = Manifest.read(KEPT)
    assert len(manifest.goldens) == 3
    with TestClient(create_app(load_predictors(KEPT, verify_weights=True), Settings(artifact_dir=KEPT))) as client:
        for golden in manifest.goldens:
            answer = client.post("/", json={"inputs": golden.inputs})
            assert answer.status_code == 200
            assert difference(golden.outputs, answer.json(), golden.tolerance) is None
        assert client.get("/info").json()["digest"] == manifest.digest


@pytest.mark.parametrize("version", [SCHEMA_VERSION - 1, SCHEMA_VERSION + 1, None])
def test_another_schema_is_refused_by_its_version(version: int | None, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(KEPT, tmp_path / "kept-classifier"))
    manifest = json.loads((copy / MANIFEST).read_text(encoding="utf-8"))
    manifest["schema_version"] = version
    (copy / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    expected = rf"schema version {version}, this runtime reads {SCHEMA_VERSION}\. Build the model again"
    with pytest.raises(ArtifactError, match=expected):
        load_predictors(copy)
