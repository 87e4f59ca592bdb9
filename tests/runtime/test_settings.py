"""The environment, read into settings."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from layers.errors import ArtifactError
from layers.runtime.settings import Settings, read_settings


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ARTIFACT_DIR", "HUNDREDFOLD_MAX_BATCH_SIZE", "HUNDREDFOLD_VERIFY_WEIGHTS", "HUNDREDFOLD_SPINNING"):
        monkeypatch.delenv(name, raising=False)


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARTIFACT_DIR", "/opt/model")
    monkeypatch.setenv("HUNDREDFOLD_MAX_BATCH_SIZE", "7")
    monkeypatch.setenv("HUNDREDFOLD_VERIFY_WEIGHTS", "true")
    monkeypatch.setenv("HUNDREDFOLD_SPINNING", "false")
    settings = read_settings()
    assert (settings.artifact_dir, settings.max_batch_size) == (Path("/opt/model"), 7)
    assert settings.load_options()["verify_weights"] is True
    assert settings.load_options()["spinning"] is False


def test_a_missing_artifact_is_named() -> None:
    with pytest.raises(ArtifactError, match="ARTIFACT_DIR is not set"):
        read_settings()


def test_a_wrong_value_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARTIFACT_DIR", "/opt/model")
    monkeypatch.setenv("HUNDREDFOLD_MAX_BATCH_SIZE", "many")
    with pytest.raises(ArtifactError, match="HUNDREDFOLD_MAX_BATCH_SIZE: got 'many'"):
        read_settings()


def test_settings_do_not_change(tmp_path: Path) -> None:
    settings = Settings(artifact_dir=tmp_path)
    with pytest.raises(ValidationError):
        settings.max_batch_size = 3  # type: ignore[misc]
