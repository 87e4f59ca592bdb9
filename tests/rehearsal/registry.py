"""A registry and an engine in place of ECR and docker: docker-registry on loopback, podman behind docker's commands.

CDK logs in at ECR, builds, and pushes to ECR's host. The registry here asks for no login, and stands for that host.
"""

from __future__ import annotations

import json
import shlex
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from layers.packaging.engine import TIMESTAMP

MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
SETTINGS = """version: 0.1
storage: {filesystem: {rootdirectory: %s}}
http: {addr: "%s"}
"""
# `inspect` answers whether there is an image as docker does; a build has no network, so it needs the context's wheels.
# Layers are kept where `make image-test` finds them, so they have to carry its timestamp.
ENGINE = """#!/bin/sh
set -e
case "$1" in
  login) cat >/dev/null; exit 0 ;;
  inspect) exec podman image inspect "$2" ;;
  build) shift; exec podman build --format docker --layers --timestamp %(timestamp)s --network none "$@" ;;
  tag) exec podman tag "$2" "$(echo "$3" | sed 's#^[^/]*#%(host)s#')" ;;
  push) exec podman push --tls-verify=false "$(echo "$2" | sed 's#^[^/]*#%(host)s#')" ;;
esac
echo "not expected: $*" >&2
exit 64
"""


class Registry:
    """A registry that listens at `host`, and the engine that pushes to it."""

    def __init__(self, host: str, engine: Path) -> None:
        self.host = host
        self.engine = engine

    def tags(self, repository: str) -> list[str]:
        """Of the images that were pushed; none where the repository is unknown."""
        if repository not in self._get("_catalog")["repositories"]:
            return []
        return list(self._get(f"{repository}/tags/list")["tags"])

    def manifest(self, repository: str, tag: str) -> dict[str, Any]:
        """The manifest as Lambda would fetch it."""
        return self._get(f"{repository}/manifests/{tag}")

    def configuration(self, repository: str, tag: str) -> dict[str, Any]:
        """The image's configuration, which its manifest names."""
        digest = self.manifest(repository, tag)["config"]["digest"]
        return self._get(f"{repository}/blobs/{digest}")

    def _get(self, path: str) -> dict[str, Any]:
        request = Request(f"http://{self.host}/v2/{path}", headers={"accept": MANIFEST_TYPE})  # loopback
        with urlopen(request, timeout=30) as response:  # loopback
            answer: dict[str, Any] = json.load(response)
        return answer


def why_not() -> str | None:
    """Why no registry can be started here; None where it can."""
    return None if shutil.which("docker-registry") else "docker-registry not installed"


@contextmanager
def running_registry(work: Path, port: int) -> Iterator[Registry]:
    """A registry of its own, empty, and gone with the block."""
    host = f"127.0.0.1:{port}"
    work.mkdir(parents=True, exist_ok=True)
    (work / "registry.yml").write_text(SETTINGS % (work / "images", host), encoding="utf-8")
    engine = work / "docker"
    engine.write_text(ENGINE % {"host": shlex.quote(host), "timestamp": TIMESTAMP}, encoding="utf-8")
    engine.chmod(0o755)
    command = ["docker-registry", "serve", str(work / "registry.yml")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            await_port(port, server)
            yield Registry(host, engine)
        finally:
            server.terminate()


def await_port(port: int, server: subprocess.Popen[bytes]) -> None:
    """Until it listens. Raises AssertionError when it ended, or does not within a minute."""
    for _ in range(600):
        assert server.poll() is None, f"{server.args!r} ended with {server.returncode}"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError(f"{server.args!r} does not listen on port {port}")
