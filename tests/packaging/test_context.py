"""The build context: what goes into an image, what stays behind, and that equal inputs are equal bytes."""

from __future__ import annotations

import hashlib
import json
import tomllib
from pathlib import Path

import pytest

from layers.artifact import Manifest
from layers.errors import ArtifactError
from layers.packaging.context import write_build_context
from tests.runtime.toy_artifact import write_toy

ROOT = Path(__file__).parents[2]
PLAYGROUND = ROOT / "layers" / "serving" / "playground"


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy(tmp_path_factory.mktemp("build") / "toy").directory


def digest_of(directory: Path) -> str:
    """Names, modes, times and bytes of everything below."""
    digest = hashlib.sha256()
    for path in sorted(directory.rglob("*")):
        state = path.stat()
        digest.update(f"{path.relative_to(directory)} {state.st_mode} {state.st_mtime_ns}\n".encode())
        digest.update(path.read_bytes() if path.is_file() else b"")
    return digest.hexdigest()


def test_equal_inputs_give_equal_contexts(artifact: Path, tmp_path: Path) -> None:
    first = write_build_context([artifact], tmp_path / "a", architecture="x86_64")
    (artifact / "manifest.json").touch()
    second = write_build_context([artifact], tmp_path / "elsewhere" / "b", architecture="x86_64")
    assert digest_of(first) == digest_of(second)


def test_a_context_written_again_holds_nothing_of_before(artifact: Path, tmp_path: Path) -> None:
    directory = write_build_context([artifact], tmp_path / "context", architecture="x86_64")
    before = digest_of(directory)
    (directory / "code" / "stale.py").write_text("")
    write_build_context([artifact], directory, architecture="x86_64")
    assert digest_of(directory) == before


def test_what_is_served_goes_in_and_the_build_machine_stays_behind(artifact: Path, tmp_path: Path) -> None:
    directory = write_build_context([artifact], tmp_path / "context", architecture="x86_64")
    files = {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}
    assert {"code/functions/https/handler.py", "code/layers/runtime/engine.py", "artifact/toy/manifest.json"} <= files
    assert [name for name in files if "compiler" in name or "test" in name or "packaging" in name] == []
    page = {f"code/{path.relative_to(ROOT)}" for path in PLAYGROUND.iterdir() if path.is_file()}
    assert len(page) > 5
    assert page <= files
    assert [name for name in files - page if name.startswith("code/") and not name.endswith(".py")] == []


def test_requirements_are_those_of_the_project(artifact: Path, tmp_path: Path) -> None:
    directory = write_build_context([artifact], tmp_path / "context", architecture="x86_64")
    stated = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    required = (directory / "requirements.txt").read_text().splitlines()
    assert set(stated) <= set(required)
    assert not any(name.startswith(("torch", "transformers", "onnx=")) for name in required)


def test_wheels_are_taken_along(artifact: Path, tmp_path: Path) -> None:
    wheel = tmp_path / "some-1.0-py3-none-any.whl"
    wheel.write_bytes(b"PK")
    directory = write_build_context([artifact], tmp_path / "context", architecture="x86_64", wheels=[wheel])
    assert (directory / "wheels" / wheel.name).read_bytes() == b"PK"


def with_variants(artifact: Path, directory: Path) -> Path:
    """The artifact with a graph for each instruction set."""
    directory.mkdir()
    manifest = json.loads((artifact / "manifest.json").read_text())
    [variant] = manifest["variants"]
    manifest["variants"], manifest["chosen"] = [], {}
    for name in ("x86_64-vnni", "x86_64-avx2", "arm64"):
        file = f"model.{name}.onnx"
        (directory / file).write_bytes(name.encode())
        manifest["variants"].append(variant | {"name": name, "file": file})
        manifest["chosen"][name] = name
        manifest["files"][file] = {"sha256": "0" * 64, "bytes": len(name)}
    del manifest["files"]["model.fp32.onnx"]
    (directory / "tokenizer.json").write_bytes((artifact / "tokenizer.json").read_bytes())
    Manifest.model_validate(manifest).write(directory)
    return directory


@pytest.mark.parametrize(
    ("architecture", "expected"),
    [("x86_64", {"model.x86_64-vnni.onnx", "model.x86_64-avx2.onnx"}), ("arm64", {"model.arm64.onnx"})],
)
def test_only_variants_of_the_architecture_go_in(
    artifact: Path, tmp_path: Path, architecture: str, expected: set[str]
) -> None:
    source = with_variants(artifact, tmp_path / "toy")
    directory = write_build_context([source], tmp_path / "context", architecture=architecture)  # type: ignore[arg-type]
    names = {path.name for path in (directory / "artifact" / "toy").iterdir()}
    assert names == expected | {"manifest.json", "tokenizer.json"}


def test_an_artifact_for_other_machines_is_refused(artifact: Path, tmp_path: Path) -> None:
    source = with_variants(artifact, tmp_path / "toy")
    manifest = json.loads((source / "manifest.json").read_text())
    del manifest["chosen"]["arm64"]
    (source / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ArtifactError, match=r"expected one for arm64\. Build it again with --target arm64"):
        write_build_context([source], tmp_path / "context", architecture="arm64")


def test_more_model_than_an_image_holds_is_refused_with_the_alternative(artifact: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"GPU endpoint on SageMaker \(deploy.target"):
        write_build_context([artifact], tmp_path / "context", architecture="x86_64", limit_bytes=1000)
    assert not (tmp_path / "context").exists()


def test_two_artifacts_of_one_name_are_refused(artifact: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="different names"):
        write_build_context([artifact, artifact], tmp_path / "context", architecture="x86_64")
