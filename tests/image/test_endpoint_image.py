"""The endpoint's image, on a stand-in for its base: Debian 12 without CUDA, so the model runs on the processor."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

from benchmarks.emulator import free_ports
from layers.packaging.endpoint_context import write_endpoint_context
from layers.packaging.requirements import gpu_requirements
from layers.packaging.wheels import fetch_wheels
from tests.image.containers import BASE_IMAGE, podman

ROOT = Path(__file__).parents[2]
IMAGE = "localhost/hundredfold-endpoint-test:1"
START_SECONDS = 60


@pytest.fixture(scope="module")
def endpoint_image(artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    wheels = fetch_wheels(gpu_requirements(), ROOT / "build" / ".wheels", architecture="x86_64", python="3.11")
    context = write_endpoint_context(artifact, artifact.name, tmp_path_factory.mktemp("context"), wheels=wheels)
    building = ["build", "--quiet", "--network", "host", "--build-arg", f"BASE_IMAGE={BASE_IMAGE}", "--tag", IMAGE]
    podman(*building, str(context), check=True)
    return IMAGE


@contextmanager
def serving(image: str, *options: str) -> Iterator[tuple[str, str]]:
    """The address of a container that answers, as SageMaker starts it, and the container's name."""
    [port] = free_ports(1)
    command = ["run", "--detach", "--network", "host", *options, image, "serve", "--port", str(port)]
    name = podman(*command, check=True).stdout.strip()
    try:
        until = monotonic() + START_SECONDS
        while not is_ready(f"http://127.0.0.1:{port}/ping"):
            assert monotonic() < until, podman("logs", name).stderr
            sleep(0.1)
        yield f"http://127.0.0.1:{port}", name
    finally:
        podman("rm", "--force", name, check=True)


def is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except OSError:
        return False


def ask(url: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(f"{url}/invocations", json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.loads(response.read())


def test_it_answers_and_ends_when_it_is_told_to(endpoint_image: str) -> None:
    with serving(endpoint_image) as (url, name):
        [[likeliest, *_]] = ask(url, {"inputs": "a fast web server"})
        assert likeliest["label"] == "web"
        podman("stop", "--time", "30", name, check=True)
        assert podman("inspect", name, "--format", "{{.State.ExitCode}}").stdout.strip() == "0"


def test_it_serves_model_data_that_is_mounted(endpoint_image: str, artifact: Path) -> None:
    mounted = ["--volume", f"{artifact}:/opt/ml/model:ro", "--env", "ARTIFACT_DIR=/nowhere"]
    with serving(endpoint_image, *mounted) as (url, _):
        assert ask(url, {"inputs": "a fast web server"})[0][0]["label"] == "web"


def test_it_holds_neither_torch_nor_wheels(endpoint_image: str) -> None:
    probe = "import importlib.util as u; print([n for n in ('torch', 'transformers', 'onnx') if u.find_spec(n)])"
    done = podman("run", "--rm", "--entrypoint", "python3", endpoint_image, "-c", probe, check=True)
    assert done.stdout.strip() == "[]"
    found = podman("run", "--rm", "--entrypoint", "find", endpoint_image, "/", "-xdev", "-name", "*.whl", check=True)
    assert "onnxruntime" not in found.stdout
    # A layer that is deleted later keeps its bytes: 1.09 GB where wheels were copied, 0.8 where they are mounted.
    document = json.loads(podman("image", "inspect", endpoint_image, check=True).stdout)[0]
    assert document["Size"] < 900_000_000
