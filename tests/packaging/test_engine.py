"""Engines: which is taken, what it is asked for, and what a failure says. None is needed to run these."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from layers.errors import ImageError
from layers.packaging.engine import Engine, build_image, find_engine
from layers.packaging.wheels import fetch_wheels, python_version

Run = Callable[[Sequence[str]], "subprocess.CompletedProcess[str]"]


def installed(*names: str) -> Callable[[str], str | None]:
    return lambda name: f"/usr/bin/{name}" if name in names else None


def answering(code: int, stdout: str = "", stderr: str = "", seen: list[Sequence[str]] | None = None) -> Run:
    def run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        if seen is not None:
            seen.append(command)
        return subprocess.CompletedProcess(list(command), code, stdout, stderr)

    return run


@pytest.mark.parametrize(
    ("there", "daemon", "expected"),
    [
        (("docker", "podman", "buildah"), 0, "docker"),
        (("docker", "podman"), 1, "podman"),
        (("podman", "buildah"), 0, "podman"),
        (("buildah",), 0, "buildah"),
    ],
)
def test_the_first_engine_that_runs_is_taken(there: tuple[str, ...], daemon: int, expected: str) -> None:
    assert find_engine(None, installed(*there), answering(daemon)).name == expected


def test_the_engine_asked_for_is_taken() -> None:
    assert find_engine("buildah", installed("podman", "buildah")) == Engine("buildah", "/usr/bin/buildah")


@pytest.mark.parametrize(
    ("name", "there", "message"),
    [
        (None, (), "apt-get install podman runc"),
        ("podman", ("buildah",), "'podman' is not installed"),
        ("kaniko", ("podman",), "expected one of docker, podman, buildah"),
        ("docker", ("docker",), "daemon does not answer"),
    ],
)
def test_without_an_engine_the_error_names_what_to_install(
    name: str | None, there: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ImageError, match=message):
        find_engine(name, installed(*there), answering(1))


@pytest.fixture
def context(tmp_path: Path) -> Path:
    (tmp_path / "wheels").mkdir()
    return tmp_path


def build(engine: str, context: Path, run: Run, said: list[str] | None = None) -> str:
    return build_image(
        Engine(engine, engine),  # type: ignore[arg-type]
        context,
        "toy:1",
        architecture="arm64",
        base_image="base:3.13",
        run=run,
        say=(said if said is not None else []).append,
    )


def test_docker_is_asked_for_one_manifest_without_attestations(context: Path) -> None:
    seen: list[Sequence[str]] = []
    build("docker", context, answering(0, seen=seen))
    assert {"--provenance=false", "--sbom=false", "BASE_IMAGE=base:3.13", "linux/arm64"} <= set(seen[0])


@pytest.mark.parametrize("engine", ["podman", "buildah"])
def test_the_others_are_asked_for_layers_of_one_time(context: Path, engine: str) -> None:
    seen: list[Sequence[str]] = []
    build(engine, context, answering(0, seen=seen))
    command = list(seen[0])
    assert command[command.index("--timestamp") + 1] == "0"
    assert {"--layers", "docker"} <= set(command)


@pytest.mark.parametrize("engine", ["docker", "podman", "buildah"])
def test_with_wheels_there_is_no_network(context: Path, engine: str) -> None:
    seen: list[Sequence[str]] = []
    build(engine, context, answering(0, seen=seen))
    (context / "wheels" / "some.whl").touch()
    build(engine, context, answering(0, seen=seen))
    assert ["--network" in command for command in seen] == [False, True]


def test_the_size_is_told(context: Path) -> None:
    said: list[str] = []
    build(
        "podman", context, answering(0, "STEP 9\n#12 0.4 image: 10 bytes of dependencies and code, 20 allowed\n"), said
    )
    assert said == ["image: 10 bytes of dependencies and code, 20 allowed"]


def test_a_failed_build_says_why(context: Path) -> None:
    output = "STEP 9\nerror: dependencies and code: got 400, expected at most 300. Largest: onnxruntime 70.\n"
    with pytest.raises(ImageError, match=r"toy:1: podman could not build the image: .*Largest: onnxruntime 70"):
        build("podman", context, answering(1, stderr=output))


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("public.ecr.aws/lambda/python:3.13", "3.13"),
        ("localhost:5000/python:3.12-arm64", "3.12"),
        ("b:3.11.4", "3.11"),
        (f"public.ecr.aws/lambda/python:3.13@sha256:{'0a' * 32}", "3.13"),
    ],
)
def test_the_bases_tag_says_its_python(image: str, version: str) -> None:
    assert python_version(image) == version


DIGEST = f"@sha256:{'0a' * 32}"


@pytest.mark.parametrize(
    ("image", "why"),
    [
        ("public.ecr.aws/lambda/python", "expected a tag that begins with its Python version"),
        ("base:latest", "expected a tag that begins with its Python version"),
        ("host:3.13/python", "expected a tag that begins with its Python version"),
        (f"base:latest{DIGEST}", "expected a tag that begins with its Python version"),
        (f"public.ecr.aws/lambda/python{DIGEST}", "a digest does not say its Python version"),
        (f"localhost:5000/python{DIGEST}", "a digest does not say its Python version"),
        ("b:3.13@sha256:0a", "expected @sha256: and 64 hexadecimal digits behind the tag"),
        ("b@sha256:0a", "expected @sha256: and 64 hexadecimal digits behind the tag"),
    ],
)
def test_a_base_that_does_not_say_its_python_is_refused(image: str, why: str) -> None:
    with pytest.raises(ImageError, match=why) as refused:
        python_version(image)
    assert str(refused.value).startswith(f"base image {image!r}: ")


def test_a_base_that_is_refused_for_its_tag_is_taken_with_the_tag_that_is_named() -> None:
    pinned = f"registry.example.org/python{DIGEST}"
    with pytest.raises(ImageError) as refused:
        python_version(pinned)
    [named] = re.findall(r"as in (\S+)\.$", str(refused.value))
    assert named == f"registry.example.org/python:3.13{DIGEST}"
    assert python_version(named) == "3.13"


def test_wheels_are_fetched_once(tmp_path: Path) -> None:
    seen: list[Sequence[str]] = []
    for _ in range(2):
        fetch_wheels(["a==1"], tmp_path, architecture="arm64", python="3.13", run=answering(0, seen=seen))
    fetch_wheels(["a==2"], tmp_path, architecture="arm64", python="3.13", run=answering(0, seen=seen))
    assert len(seen) == 2
    assert "--platform=manylinux_2_28_aarch64" in seen[0]


def test_a_missing_wheel_is_pips_own_words(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="No matching distribution found for a==9"):
        fetch_wheels(
            ["a==9"],
            tmp_path,
            architecture="x86_64",
            python="3.13",
            run=answering(1, stderr="No matching distribution found for a==9"),
        )
