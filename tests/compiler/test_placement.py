"""How a finished artifact takes the place of an earlier one, killed at every step that touches the disk."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from layers.compiler.placement import Place

ROOT = Path(__file__).resolve().parents[2]
# Python tells of every change of a directory before it makes it (sys.addaudithook).
REPLACE = """
import os, signal, sys
from pathlib import Path
from layers.compiler.placement import Place

steps = 0

def die(event, _arguments):
    global steps
    if event in ("os.rename", "os.remove", "os.rmdir", "os.mkdir"):
        steps += 1
        if steps == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(die)
place = Place(Path(sys.argv[1]))
with place.workplace() as work:
    for name in ("manifest.json", "model.onnx"):
        (work / name).write_text("new")
    place.put(work)
"""
MOST_STEPS = 40


def artifact(directory: Path, content: str) -> Path:
    directory.mkdir(parents=True)
    for name in ("manifest.json", "model.onnx"):
        (directory / name).write_text(content, encoding="utf-8")
    return directory


def contents(directory: Path) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in directory.iterdir()}


def replace_until(final: Path, step: int) -> bool:
    """Whether the process was killed before it was done."""
    done = subprocess.run([sys.executable, "-c", REPLACE, str(final), str(step)], cwd=ROOT, check=False)
    assert done.returncode in (0, -9)
    return done.returncode != 0


@pytest.mark.parametrize("had_earlier", [True, False])
def test_wherever_it_is_killed_one_whole_artifact_stands_and_nothing_is_left(had_earlier: bool, tmp_path: Path) -> None:
    found = []
    for step in range(1, MOST_STEPS):
        final = tmp_path / str(step) / "model"
        final.parent.mkdir()
        if had_earlier:
            artifact(final, "old")
        killed = replace_until(final, step)
        Place(final).recover()
        left = [path.name for path in final.parent.iterdir()]
        assert left == (["model"] if had_earlier or final.exists() else []), f"step {step}"
        found.append(contents(final) if final.exists() else {})
        if not killed:
            break
    old = dict.fromkeys(("manifest.json", "model.onnx"), "old") if had_earlier else {}
    new = dict.fromkeys(("manifest.json", "model.onnx"), "new")
    assert found[0] == old
    assert found[-1] == new
    assert found == sorted(found, key=lambda each: each == new)
    assert all(each in (old, new) for each in found)


def test_the_directory_of_a_build_that_goes_on_is_let_be(tmp_path: Path) -> None:
    place = Place(artifact(tmp_path / "model", "old"))
    with place.workplace() as work:
        (work / "model.onnx").write_text("new", encoding="utf-8")
        Place(tmp_path / "model").recover()
        assert contents(work) == {"model.onnx": "new"}
        with Place(tmp_path / "model").workplace() as other:
            place.put(other)
        place.put(work)
    assert contents(tmp_path / "model") == {"model.onnx": "new"}
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def interrupted(place: Place) -> None:
    with place.workplace() as work:
        (work / "model.onnx").write_text("half", encoding="utf-8")
        raise KeyboardInterrupt


def test_a_build_that_fails_leaves_the_earlier_artifact(tmp_path: Path) -> None:
    place = Place(artifact(tmp_path / "model", "old"))
    with pytest.raises(KeyboardInterrupt):
        interrupted(place)
    assert contents(tmp_path / "model") == dict.fromkeys(("manifest.json", "model.onnx"), "old")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_link_in_the_place_is_replaced_and_not_followed(tmp_path: Path) -> None:
    elsewhere = artifact(tmp_path / "elsewhere", "old")
    (tmp_path / "model").symlink_to(elsewhere)
    place = Place(tmp_path / "model")
    with place.workplace() as work:
        (work / "model.onnx").write_text("new", encoding="utf-8")
        place.put(work)
    assert contents(tmp_path / "model") == {"model.onnx": "new"}
    assert contents(elsewhere)["model.onnx"] == "old"
